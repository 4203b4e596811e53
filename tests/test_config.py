"""Settings: what is read, from where, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from embedhub.config import DEFAULT_MODEL, read_settings, table
from embedhub.errors import SettingError
from embedhub.machine import available_memory, available_threads, cpu_quota, memory_limit
from embedhub.values import whole_number


def test_defaults() -> None:
    found = read_settings({})
    assert found.model == DEFAULT_MODEL
    assert found.dtype == "auto"
    assert found.home == Path("~/.embedhub").expanduser()
    assert not found.offline
    assert found.hub_token is None or found.token is None


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('EMBEDHUB_DTYPE=int8\nexport EMBEDHUB_THREADS="3"\nHF_TOKEN=from-the-file\nUNKNOWN=1\n')
    found = read_settings({"EMBEDHUB_DTYPE": "f32", "EMBEDHUB_HOME": "~/elsewhere"}, file)
    assert (found.dtype, found.threads, found.token) == ("f32", 3, "from-the-file")
    assert found.home == Path("~/elsewhere").expanduser()


def test_a_missing_file_is_no_file(tmp_path: Path) -> None:
    assert read_settings({}, tmp_path / "missing") == read_settings({})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMBEDHUB_DTYPE", "f64"),
        ("EMBEDHUB_THREADS", "many"),
        ("EMBEDHUB_STREAMS", "-1"),
        ("EMBEDHUB_BATCH_SIZE", "1.5"),
        ("EMBEDHUB_BATCH_SIZE", "0"),
        ("EMBEDHUB_HOME", "~nobody-of-that-name/x"),
        ("HF_HUB_OFFLINE", "perhaps"),
    ],
)
def test_impossible_values_are_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable):
        read_settings({variable: value})


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("off", False)]
)
def test_flags(value: str, wanted: bool) -> None:
    assert read_settings({"HF_HUB_OFFLINE": value}).offline is wanted


def test_the_cache_folder_is_where_other_programs_look_for_it() -> None:
    assert read_settings({}).hf_home == Path("~/.cache/huggingface").expanduser()
    moved = {"XDG_CACHE_HOME": "/var/cache/me"}
    assert read_settings(moved).model_cache == Path("/var/cache/me/huggingface/hub")
    assert read_settings(moved | {"HF_HOME": "/models"}).model_cache == Path("/models/hub")


def test_the_stored_token_is_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_stored\n")
    assert read_settings({"HF_HOME": str(tmp_path)}).hub_token == "hf_stored"
    assert read_settings({"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_set"}).hub_token == "hf_set"


def test_a_hub_named_by_a_file_does_not_get_the_users_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_stored")
    mine = {"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_mine"}
    file = tmp_path / ".env"
    file.write_text("HF_ENDPOINT=http://elsewhere.example\n")
    assert read_settings(mine, file).endpoint == "http://elsewhere.example"
    assert read_settings(mine, file).hub_token is None
    assert read_settings({"HF_HOME": str(tmp_path)}, file).hub_token is None
    # The user names the same Hub: his token goes there.
    assert read_settings(mine | {"HF_ENDPOINT": "http://mine.example"}, file).hub_token == "hf_mine"
    file.write_text("HF_ENDPOINT=http://elsewhere.example\nHF_TOKEN=hf_theirs\n")
    assert read_settings(mine, file).hub_token == "hf_theirs"
    assert read_settings({"HF_HOME": str(tmp_path)}, file).hub_token == "hf_theirs"


def test_a_file_cannot_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    file = tmp_path / ".env"
    file.write_text("HF_ENDPOINT=http://elsewhere.example/${HF_TOKEN}\n")
    assert "hf_secret" not in read_settings({"HF_TOKEN": "hf_secret"}, file).endpoint


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"EMBEDHUB_MODEL=\xff\xfe\n")
    with pytest.raises(SettingError, match="UTF-8"):
        read_settings({}, file)


def test_every_setting_says_what_it_is() -> None:
    for setting in table():
        assert setting.metadata["env"].isupper()
        assert setting.metadata["help"].endswith(".")


def control_groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Control groups with these files, and the file that says that a process is in `own`."""
    groups = folder / "groups"
    for name, content in files.items():
        path = groups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "own").write_text(own)
    return groups, folder / "own"


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        # A service: the tightest of its own group and those around it.
        ("0::/system.slice/a.service\n", {"system.slice/a.service/cpu.max": "400000 100000"}, 4),
        (
            "0::/system.slice/a.service\n",
            {"system.slice/a.service/cpu.max": "max 100000", "system.slice/cpu.max": "50000 100000"},
            0.5,
        ),
        # A container that is told its path on the host, or one that lies outside of what it sees.
        ("0::/docker/abc\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/../other\n", {"cpu.max": "200000 100000", "../other/cpu.max": "100000 100000"}, 2),
        (
            "4:memory:/x\n1:cpu,cpuacct:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "5\n"}, None),
        ("4:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("nonsense\n\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
    ],
)
def test_cpu_quota(tmp_path: Path, own: str, files: dict[str, str], wanted: float | None) -> None:
    assert cpu_quota(*control_groups(tmp_path, own, files)) == wanted


def test_no_control_groups_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "missing") is None
    assert memory_limit(tmp_path, tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/\n", {"memory.max": "1073741824\n"}, 1 << 30),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "4096", "memory.max": "8192"}, 4096),
        ("0::/docker/abc\n", {"memory.max": "4096"}, 4096),
        ("4:cpu:/x\n1:memory:/\n0::/\n", {"memory/memory.limit_in_bytes": "4096\n"}, 4096),
        ("1:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 9223372036854771712),
        ("1:cpu:/\n", {"memory/memory.limit_in_bytes": "4096\n"}, None),
        ("0::/\n", {"memory.max": "nonsense"}, None),
        ("0::/\n", {"memory.max": "0"}, None),
    ],
)
def test_memory_limit(tmp_path: Path, own: str, files: dict[str, str], wanted: int | None) -> None:
    assert memory_limit(*control_groups(tmp_path, own, files)) == wanted


def test_available_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 100}.__getitem__)
    for limit, wanted in ((None, 409_600), (4096, 4096), (1 << 62, 409_600)):
        monkeypatch.setattr("embedhub.machine.memory_limit", lambda limit=limit: limit)
        assert available_memory() == wanted


@pytest.mark.parametrize(("granted", "wanted"), [(None, 3), (0.2, 1), (1.5, 2), (3, 3), (64, 3)])
def test_available_threads(monkeypatch: pytest.MonkeyPatch, granted: float | None, wanted: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {4, 5, 6})
    monkeypatch.setattr("embedhub.machine.cpu_quota", lambda: granted)
    assert available_threads() == wanted


def test_a_system_without_affinity_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("embedhub.machine.cpu_quota", lambda: None)
    assert available_threads() == os.cpu_count()


@pytest.mark.parametrize("wrong", ["3", 1.5, 1.0, None, True, 0, -1, [2]])
def test_arguments_that_are_no_whole_number_are_refused_by_name(wrong: object) -> None:
    with pytest.raises(SettingError, match=r"^top_k must be a whole number of at least 1, not "):
        whole_number("top_k", wrong)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert whole_number("top_k", np.int32(3)) == 3
    assert whole_number("threads", 0, low=0) == 0


def test_a_toml_file_stands_behind_the_others(tmp_path: Path) -> None:
    toml, dotenv = tmp_path / "server.toml", tmp_path / ".env"
    toml.write_text(
        'dtype = "f32"\nport = 9000\nthreads = 3\noffline = true\nallow_models = ["intfloat/*", "BAAI/*"]\n'
        'home = "~/elsewhere"\n[model_aliases]\nsmall = "BAAI/bge-small-en-v1.5"\n'
    )
    dotenv.write_text("EMBEDHUB_DTYPE=bf16\nEMBEDHUB_THREADS=2\n")
    found = read_settings({"EMBEDHUB_CONFIG": str(toml), "EMBEDHUB_DTYPE": "int8"}, dotenv)
    assert (found.dtype, found.threads, found.port, found.offline) == ("int8", 2, 9000, True)
    assert found.allow_models == ("intfloat/*", "BAAI/*")
    assert found.model_aliases == (("small", "BAAI/bge-small-en-v1.5"),)
    assert found.home == Path("~/elsewhere").expanduser()
    assert found.config == toml


def test_a_named_toml_file_wins_over_the_variables_one(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("port = 1")
    (tmp_path / "b.toml").write_text("port = 2")
    assert read_settings({"EMBEDHUB_CONFIG": str(tmp_path / "a.toml")}, None, tmp_path / "b.toml").port == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("prot = 8080", r"no setting prot; did you mean port\?"),
        ("zzz = 1", "no setting zzz; docs/settings.md"),
        ("port = 99999", "port = 99999: not a port"),
        ("port = 1.5", "port = 1.5"),
        ('port = ["8080"]', "port = "),
        ('offline = "perhaps"', "offline = 'perhaps': not a yes"),
        ("threads = true", "threads = True"),
        ("allow_models = [1]", "allow_models"),
        ("[model_aliases]\na = 1", "model_aliases"),
        ("[model_aliases]\na = 'b'\nb = 'a'", "model_aliases.*a stands for b, which is such a name itself"),
        ('config = "other.toml"', "no setting config"),
        ("port = ", "cannot be read as TOML"),
        ("[port]\n\udcff", "cannot be read as TOML"),
    ],
)
def test_a_wrong_toml_file_is_refused_by_name(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(content, errors="surrogateescape")
    with pytest.raises(SettingError, match=rf"server\.toml.*{told}"):
        read_settings({"EMBEDHUB_CONFIG": str(file)})


def test_a_toml_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        read_settings({"EMBEDHUB_CONFIG": str(tmp_path / "missing.toml")})


def test_a_hub_named_by_somebodys_toml_file_does_not_get_the_users_token(tmp_path: Path) -> None:
    toml, dotenv = tmp_path / "server.toml", tmp_path / ".env"
    toml.write_text('endpoint = "http://elsewhere.example"\n')
    dotenv.write_text(f"EMBEDHUB_CONFIG={toml}\n")
    mine = {"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_mine"}
    assert read_settings(mine, dotenv).endpoint == "http://elsewhere.example"
    assert read_settings(mine, dotenv).hub_token is None
    # The user names the file: what it says is the user's word.
    assert read_settings(mine | {"EMBEDHUB_CONFIG": str(toml)}, dotenv).hub_token == "hf_mine"
    toml.write_text('endpoint = "http://elsewhere.example"\ntoken = "hf_theirs"\n')
    assert read_settings(mine, dotenv).hub_token == "hf_theirs"


@pytest.mark.parametrize("loop", ["a=a", "a=b,b=a", "a=b,b=acme/model", "a=acme/one,a=acme/two"])
def test_aliases_stand_for_models_and_not_for_each_other(loop: str) -> None:
    with pytest.raises(SettingError, match=r"EMBEDHUB_MODEL_ALIASES.*(name itself|given twice)"):
        read_settings({"EMBEDHUB_MODEL_ALIASES": loop})
