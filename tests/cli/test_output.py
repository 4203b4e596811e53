"""What is shown while something takes long."""

from functools import partial
from pathlib import Path

import pytest
from tests.engine.checkpoints import write_bert

from embedhub import Model
from embedhub.choices import Score
from embedhub.cli import datasets
from embedhub.cli.output import IndexBar
from embedhub.config import Settings
from embedhub.datasets import BuildOptions, InputRequest
from embedhub.runtime.embedding import EmbedRequest, embed_file
from embedhub.search import open_index


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with IndexBar().shown() as bar:
        assert capsys.readouterr().err == "", "nothing to build, nothing to say"
        bar(4_096, 150_000)
        bar(8_192, 150_000)
    assert capsys.readouterr().err == "building the search index, once: 4,096/150,000 rows\n"


def test_a_search_shows_how_far_the_index_is_the_first_time(
    tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(write_bert(tmp_path / "mine", seed=3), config=offline)
    (tmp_path / "in.txt").write_text("the one\nan it\nwhich or that\n")
    request = EmbedRequest(InputRequest(tmp_path / "in.txt"), tmp_path / "out", BuildOptions())
    embed_file(request, lambda: model)
    monkeypatch.setattr("embedhub.runtime.collection.open_index", partial(open_index, threshold=2))
    monkeypatch.setattr("embedhub.runtime.collection.settings", lambda: offline)
    for told in ("building the search index, once: 3/3 rows\n", ""):
        datasets.search(tmp_path / "out", ["an it"], 1, Score.COSINE)
        output = capsys.readouterr()
        assert output.err == told
        assert output.out.split() == ["1.0000", "1", "an", "it"]
