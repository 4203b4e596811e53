"""The real command in a process of its own: what it prints, where, and how it exits."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.engine.checkpoints import write_bert, write_classifier

from embedhub.engine.backends.openvino import has_fast_int8

TEXTS = ["the one", "an it", "which or that", "for on with"]


@pytest.fixture
def environment(tmp_path: Path, tiny_folder: Path) -> dict[str, str]:
    """A user with the tiny model as default, no network and no colours."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "HOME") if name in os.environ}
    return kept | {
        "EMBEDHUB_HOME": str(tmp_path / "home"),
        "EMBEDHUB_MODEL": str(tiny_folder),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
    }


def run(
    environment: dict[str, str], *words: object, cwd: Path, input: bytes | None = None, status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """The command with words; its exit status must be `status`."""
    command = [sys.executable, "-m", "embedhub", *map(str, words)]
    result = subprocess.run(
        command, capture_output=True, cwd=cwd, env=environment, input=input, timeout=60, check=False
    )
    assert result.returncode == status, result.stderr.decode()
    return result


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file with a text a line."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def test_from_file_to_answer(environment: dict[str, str], tmp_path: Path, texts: Path) -> None:
    first = run(environment, "embed", texts.name, cwd=tmp_path)
    assert first.stdout.startswith(b"texts-embedded: 4 rows; 4 texts embedded")
    assert run(environment, "embed", texts.name, cwd=tmp_path).stdout == b"texts-embedded: up to date, 4 rows\n"

    hits = run(environment, "search", "texts-embedded", "an it", "-k", 2, cwd=tmp_path)
    assert hits.stdout.decode().splitlines()[0] == "1.0000       1  an it"
    assert len(hits.stdout.splitlines()) == 2

    several = run(environment, "search", "texts-embedded", "an it", "the one", "--json", cwd=tmp_path)
    lists = json.loads(several.stdout)
    assert [each[0]["row"] for each in lists] == [1, 0]
    lone = json.loads(run(environment, "search", "texts-embedded", "an it", "--json", cwd=tmp_path).stdout)
    assert lone == lists[0]
    assert lone[0] == {"row": 1, "score": pytest.approx(1, abs=1e-5), "text": "an it"}

    exported = run(environment, "export", "texts-embedded", "--to", "csv", cwd=tmp_path)
    refused = run(environment, "export", "texts-embedded", "--to", "csv", cwd=tmp_path, status=2)
    assert b"--replace" in refused.stderr
    run(environment, "export", "texts-embedded", "--to", "csv", "--replace", cwd=tmp_path)
    lines = Path(exported.stdout.decode().strip()).read_text().splitlines()
    assert lines[0] == ",".join(map(str, range(32)))
    assert len(lines) == 5


def test_json_summary_and_changed_input(environment: dict[str, str], tmp_path: Path, texts: Path) -> None:
    run(environment, "embed", texts, "-o", "out", cwd=tmp_path)
    texts.write_text("\n".join([*TEXTS[:3], "be this", "be this"]))
    found = json.loads(run(environment, "embed", texts, "-o", "out", "--json", cwd=tmp_path).stdout)
    assert {name: found[name] for name in ("rows", "embedded", "reused", "duplicates")} == {
        "rows": 5,
        "embedded": 1,
        "reused": 3,
        "duplicates": 1,
    }
    assert found["path"] == "out"


def test_standard_input_and_gzip(environment: dict[str, str], tmp_path: Path) -> None:
    lines = b"\n".join(json.dumps({"id": number, "t": text}).encode() for number, text in enumerate(TEXTS))
    told = run(environment, "embed", "-", "-o", "out", cwd=tmp_path, input=gzip.compress(lines)).stderr
    assert b"standard input is read as jsonl; --format says otherwise" in told
    assert json.loads(run(environment, "search", "out", "an it", "--json", cwd=tmp_path).stdout)[0]["id"] == 1
    assert b"--out DIR" in run(environment, "embed", "-", cwd=tmp_path, input=lines, status=2).stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["embed", "missing.csv"], 3, "missing.csv"),
        (["embed", "two.csv"], 3, "'first' (string), 'second' (string)"),
        (["embed", "two.csv", "--column", "third"], 3, "'first' (string), 'second' (string)"),
        (["embed", "empty.txt"], 3, "no rows"),
        (["embed", "ragged.csv"], 3, "ragged.csv, line 3"),
        (["embed", "latin.csv"], 3, "latin.csv, line 2"),
        (["embed", "null.jsonl"], 3, "row 2"),
        (["embed", "broken.parquet"], 3, "broken.parquet"),
        (["embed", "texts.txt", "--model", "nobody/nothing"], 4, "tried: "),
        (["embed", "texts.txt", "--dtype", "int9"], 2, "int9"),
        (["search", "missing", "question"], 5, "missing"),
        (["search", ".", "question"], 5, "embedded dataset"),
        (["models", "info", "nobody/nothing"], 4, "HF_HUB_OFFLINE"),
        (["models", "remove", "nobody/nothing"], 4, "not installed"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_bad_input_gives_one_line(
    environment: dict[str, str], tmp_path: Path, texts: Path, words: list[str], status: int, message: str
) -> None:
    (tmp_path / "two.csv").write_text("first,second\na,b\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "latin.csv").write_bytes("a\nZürich\n".encode("latin-1"))
    (tmp_path / "null.jsonl").write_text('{"t": "a"}\n{"t": null}\n')
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing PAR1")
    before = sorted(tmp_path.rglob("*"))
    result = run(environment, *words, cwd=tmp_path, status=status)
    assert message in result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert result.stdout == b""
    if status != 2:
        assert len(result.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before, "a failed command left something behind"


def test_debug_shows_the_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    result = run(environment, "embed", "missing.csv", "--debug", cwd=tmp_path, status=3)
    assert b"Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(b"error: ")


def test_another_model_is_refused(environment: dict[str, str], tmp_path: Path, texts: Path) -> None:
    run(environment, "embed", texts, "-o", "out", cwd=tmp_path)
    other = write_bert(tmp_path / "other", seed=5)
    result = run(environment, "search", "out", "a", "--model", other, cwd=tmp_path, status=5)
    assert b"tiny" in result.stderr
    assert b"other" in result.stderr


def test_names_of_folders(environment: dict[str, str], tmp_path: Path) -> None:
    for name, folder in {"r.2023.txt": "r.2023", "r.2024.txt": "r.2024", "plain": "plain"}.items():
        (tmp_path / name).write_text("the\n")
        run(environment, "embed", name, "--format", "txt", cwd=tmp_path)
        assert (tmp_path / f"{folder}-embedded" / "README.md").is_file()


def test_a_text_column_called_score(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"score": "the one", "score_": 1}\n')
    run(environment, "embed", "odd.jsonl", "-o", "out", cwd=tmp_path)
    assert b"the one" in run(environment, "search", "out", "the", cwd=tmp_path).stdout
    hit = json.loads(run(environment, "search", "out", "the", "--json", cwd=tmp_path).stdout)[0]
    assert (hit["score__"], hit["score_"]) == ("the one", 1)


def test_a_model_is_exported(environment: dict[str, str], tmp_path: Path) -> None:
    words = ["models", "export", environment["EMBEDHUB_MODEL"], "-o", "out"]
    found = json.loads(run(environment, *words, "--no-float32", "--json", cwd=tmp_path).stdout)
    sizes = {path: (tmp_path / "out" / path).stat().st_size for path in found["files"]}
    assert found == {"folder": "out", "files": sizes}
    assert [path for path in sizes if path.startswith("onnx/")] == ["onnx/model_quantized.onnx"]
    assert b"there already" in run(environment, *words, cwd=tmp_path, status=2).stderr
    nothing = run(environment, *words[:-1], "other", "--no-float32", "--no-quantized", cwd=tmp_path, status=2)
    assert nothing.stderr.count(b"\n") == 1
    assert b"onnx/model.onnx" in run(environment, *words[:-1], "other", cwd=tmp_path).stdout


def test_models(environment: dict[str, str], tmp_path: Path, tiny_folder: Path) -> None:
    listed = run(environment, "models", "list", "--json", cwd=tmp_path)
    assert json.loads(listed.stdout) == []
    found = json.loads(run(environment, "models", "info", tiny_folder, "--json", cwd=tmp_path).stdout)
    assert {"id", "revision", "weights_sha256", "licence", "architecture", "dimensions", "max_tokens"} <= set(found)
    assert {"pooling", "normalize", "prompts", "dtype", "backend"} <= set(found)
    assert (found["dimensions"], found["max_tokens"], found["pooling"]) == (32, 48, "mean")
    assert (found["kind"], "labels" in found) == ("embedding", False)
    calibrated = run(environment, "models", "calibrate", cwd=tmp_path).stdout.decode()
    assert "--dtype int8" in calibrated
    assert len(list((tmp_path / "home" / "calibrations").glob("*.npz"))) == 1
    status = 0 if has_fast_int8() else 4
    run(environment, "models", "info", tiny_folder, "--dtype", "int8", cwd=tmp_path, status=status)


def test_a_classifier_is_described_and_not_embedded_with(environment: dict[str, str], tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "judge", labels=2, id2label={"0": "bad", "1": "good"})
    found = json.loads(run(environment, "models", "info", folder, "--json", cwd=tmp_path).stdout)
    assert (found["kind"], found["labels"], found["activation"]) == ("classifier", ["bad", "good"], "softmax")
    assert b"['bad', 'good']" in run(environment, "models", "info", folder, cwd=tmp_path).stdout
    for words in (["models", "info", folder, "--dtype", "int8"], ["models", "calibrate", folder]):
        assert b"f32 or bf16" in run(environment, *words, cwd=tmp_path, status=4).stderr
    (tmp_path / "texts.txt").write_text("the one\n")
    refused = run(environment, "embed", "texts.txt", "--model", folder, "-o", "out", cwd=tmp_path, status=4)
    assert b"embedhub.Classifier" in refused.stderr


@pytest.mark.skipif(not has_fast_int8(), reason="this CPU has no VNNI instructions")
def test_vectors_of_two_calibrations_are_not_mixed(environment: dict[str, str], tmp_path: Path, texts: Path) -> None:
    command = ["embed", texts, "-o", "out", "--dtype", "int8", "--json"]
    first = run(environment, *command, cwd=tmp_path)
    assert b"calibrating" in first.stderr
    assert json.loads(first.stdout)["embedded"] == 4
    assert json.loads(run(environment, *command, cwd=tmp_path).stdout)["up_to_date"]
    (tmp_path / "mine.txt").write_text("be this " * 20)
    run(environment, "models", "calibrate", "--texts", "mine.txt", cwd=tmp_path)
    assert json.loads(run(environment, *command, cwd=tmp_path).stdout)["embedded"] == 4


def test_settings_come_from_a_dotenv_file(environment: dict[str, str], tmp_path: Path, texts: Path) -> None:
    model = environment.pop("EMBEDHUB_MODEL")
    (tmp_path / ".env").write_text(f"EMBEDHUB_MODEL={model}\nEMBEDHUB_DTYPE=f32\nOTHER=left alone\n")
    run(environment, "embed", texts, "-o", "out", cwd=tmp_path)
    environment["EMBEDHUB_DTYPE"] = "f99"
    assert b"EMBEDHUB_DTYPE" in run(environment, "embed", texts, "-o", "out", cwd=tmp_path, status=2).stderr


def test_interrupted_by_hand(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("\n".join(f"the one {number} that is not" for number in range(200_000)))
    command = [sys.executable, "-m", "embedhub", "embed", "many.txt", "-o", "out", "--shard-rows", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 50
    while not list((tmp_path / "out").rglob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"continues" in errors
    refused = run(environment, "search", "out", "the", cwd=tmp_path, status=5)
    assert b"not finished" in refused.stderr


def test_prompts_and_delimiters(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id;text\n1;the one\n2;an it\n")
    refused = run(environment, "embed", "in.csv", "-o", "out", cwd=tmp_path, status=3)
    assert b"--delimiter ';'" in refused.stderr
    run(environment, "embed", "in.csv", "-o", "out", "--delimiter", ";", "--prompt", "the ", cwd=tmp_path)
    found = run(environment, "search", "out", "an it", "--prompt", "the ", "--json", cwd=tmp_path)
    assert json.loads(found.stdout)[0] == {"row": 1, "score": pytest.approx(1, abs=1e-5), "id": 2, "text": "an it"}
    other = run(environment, "search", "out", "an it", "--json", cwd=tmp_path)
    assert json.loads(other.stdout)[0]["score"] < 0.999
    named = run(environment, "search", "out", "an it", "--prompt-name", "title", cwd=tmp_path, status=2)
    assert b"no prompt 'title'" in named.stderr


def test_truncation_is_told_however_often_it_runs(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("the one\n" + "the " * 60 + "\n")
    assert b"1 truncated" in run(environment, "embed", "long.txt", cwd=tmp_path).stdout
    assert b"1 truncated" in run(environment, "embed", "long.txt", cwd=tmp_path).stdout
    refused = run(environment, "embed", "long.txt", "--long-texts", "error", cwd=tmp_path, status=3)
    assert refused.stderr.startswith(b"error: long.txt, row 2, column 'text': a text of 62 tokens")


def test_a_killed_run_leaves_no_copy_of_its_input(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "embedhub", "embed", "-", "-o", "out", "--shard-rows", "500"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment | {"TMPDIR": str(tmp_path / "tmp")}, stdin=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"\n".join(b"the one %d that is not" % number for number in range(200_000)))
    process.stdin.close()
    deadline = time.monotonic() + 50
    while not list((tmp_path / "out").rglob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list((tmp_path / "out").rglob("*.parquet"))
    assert not list((tmp_path / "tmp").iterdir())


def test_help_names_every_command(environment: dict[str, str], tmp_path: Path) -> None:
    text = run(environment, "--help", cwd=tmp_path).stdout.decode()
    for command in ("embed", "search", "export", "models"):
        assert command in text
        assert run(environment, command, "--help", cwd=tmp_path).stdout
    assert run(environment, "--version", cwd=tmp_path).stdout.startswith(b"embedhub ")
