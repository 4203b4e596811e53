"""Token ids of OpenAI's vocabulary cl100k_base back to the text they were made of.

Knows the vocabulary's file as the library tiktoken keeps it, and asks no network for it: a request must not make a
server download something. Decoding needs nothing but that file.
"""

import binascii
import codecs
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from embedhub.errors import MissingExtraError, ModelIntegrityError, RequestError

# tiktoken names a file by the SHA-1 of its address, and states its SHA-256.
FILE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

# As tiktoken defines them beside the file.
_SPECIAL = {
    100257: b"<|endoftext|>",
    100258: b"<|fim_prefix|>",
    100259: b"<|fim_middle|>",
    100260: b"<|fim_suffix|>",
    100276: b"<|endofprompt|>",
}


@cache
def vocabulary(folder: Path) -> Mapping[int, bytes]:
    """The bytes that each id stands for, read once.

    Args:
        folder: where the file lies.

    Raises:
        MissingExtraError: it is not there; the message says how it gets there.
        ModelIntegrityError: it is not what its checksum says.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingExtraError(
            f"the vocabulary cl100k_base is not in {folder}; pip install 'embedhub[openai-tokens]' and run "
            f"TIKTOKEN_CACHE_DIR={folder} python -c \"import tiktoken; tiktoken.get_encoding('cl100k_base')\", where "
            "there is a network, or let TIKTOKEN_CACHE_DIR name a folder that has it"
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelIntegrityError(f"{path} is damaged; remove it and have tiktoken fetch it again")
    pairs = (line.split() for line in content.splitlines())
    return {int(number): binascii.a2b_base64(token) for token, number in pairs} | _SPECIAL


def texts_of(inputs: Sequence[Sequence[int]], vocabulary: Mapping[int, bytes]) -> list[str]:
    """The text of each list of ids. Pure.

    Half a character at the beginning or the end is left out: clients cut long texts between two ids, and an id may
    end within a character.

    Raises:
        RequestError: an id that the vocabulary does not have, or bytes that are no text; the message has the input's
            number.
    """
    return [_text(ids, vocabulary, number) for number, ids in enumerate(inputs)]


def _text(ids: Sequence[int], vocabulary: Mapping[int, bytes], number: int) -> str:
    try:
        content = b"".join([vocabulary[id] for id in ids])
    except KeyError as error:
        raise RequestError(
            f"input {number} has token id {error}, which cl100k_base has not: were the ids made by another tokenizer? "
            "Send texts instead"
        ) from error
    start = 0
    while start < min(3, len(content)) and content[start] & 0xC0 == 0x80:
        start += 1
    try:
        # Incremental, because such a decoder waits for the rest of an unfinished character instead of refusing it.
        text = codecs.getincrementaldecoder("utf-8")().decode(content[start:])
    except UnicodeDecodeError as error:
        raise RequestError(
            f"input {number} is no text in cl100k_base ({error.reason}): were the ids made by another tokenizer? "
            "Send texts instead"
        ) from error
    if not text:
        raise RequestError(f"input {number} is not even one character in cl100k_base")
    return text
