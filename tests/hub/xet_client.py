"""Uploads files by Hugging Face's own library, as a process of its own: `ADDRESS FILE...`; prints each one's sha256."""

import sys
import time

import hf_xet

address, *paths = sys.argv[1:]
config = hf_xet.XetConfig().with_config("client.retry_max_attempts", 1)
commit = hf_xet.XetSession(config).new_upload_commit(
    endpoint=address, token="token", token_expiry_unix_secs=int(time.time()) + 3600
)
uploads = [commit.start_upload_file(path) for path in paths]
commit.wait_to_finish()
for upload in uploads:
    sys.stdout.write(f"{upload.result().xet_info.sha256}\n")
