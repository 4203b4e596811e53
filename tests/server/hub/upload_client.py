"""Uploads a file by Hugging Face's own library, another content each time: `REPOSITORY FILE ROUNDS`.

Prints `begin` before each and `done COMMIT PATH SHA256` once it was answered for; what fails is tried again.
"""

import hashlib
import sys
import time
from pathlib import Path

from huggingface_hub import HfApi

repository, file, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
api = HfApi()
for number in range(rounds):
    content = bytearray(file.read_bytes())
    content[number * 1000 : number * 1000 + 500_000] = hashlib.shake_256(str(number).encode()).digest(500_000)
    file.write_bytes(content)
    sys.stdout.write("begin\n")
    sys.stdout.flush()
    for _ in range(50):
        try:
            made = api.upload_file(
                path_or_fileobj=str(file), path_in_repo=f"{number}.npy", repo_id=repository, repo_type="dataset"
            )
            break
        except Exception as error:  # noqa: BLE001 - whatever a killed server leads to
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            time.sleep(0.05)
    else:
        sys.exit("the upload never came through")
    sys.stdout.write(f"done {made.oid} {number}.npy {hashlib.sha256(content).hexdigest()}\n")
    sys.stdout.flush()
