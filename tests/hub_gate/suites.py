"""The runs of the gate, as one table: whose tests, of which version, in which environment, held to which lists.

Knows no processes and no files but the lists' names; `prepare.py` and `run.py` act on it.
"""

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORKSHOP = ROOT / ".gate"


@dataclass(frozen=True)
class Library:
    """A library whose own tests are run.

    Attributes:
        name: on the package index, of the source archive that holds the tests.
        version: exactly this one.
        sha256: of the archive.
        laid: folder of `laid/` with what the archive lacks; see `LAID` in `prepare.py`.
        environment: folder of the virtual environment the tests run in.
        requirements: what is installed there.
    """

    name: str
    version: str
    sha256: str
    laid: str
    environment: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where the archive is unpacked."""
        return WORKSHOP / f"{self.name}-{self.version}"

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ROOT / self.environment / "bin" / "python"


@dataclass(frozen=True)
class Suite:
    """One run.

    Attributes:
        name: on the summary line and on the command line.
        library: whose tests.
        lists: files in `lists/` with the ids that must pass, one a line.
        survey: the files, or classes in them, searched for more of them by `--survey`.
        not_chosen: words in names of tests that a survey leaves out, in pytest's -k.
        variables: more environment variables for the tests.
    """

    name: str
    library: Library
    lists: tuple[str, ...]
    survey: tuple[str, ...]
    not_chosen: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For the summary line."""
        return f"{self.name} ({self.library.name} {self.library.version})"


TOOLS = ("pytest==9.2.0", "pytest-mock==3.17.0", "pytest-timeout==2.4.0", "pytest-xdist==3.8.0", "Jinja2==3.1.6")

CURRENT = Library(
    name="huggingface_hub",
    version="2.4.0",
    sha256="13a6158b9e3393d9d3f248ce99074d50c2a0a1449fb9d8e2f710751e2084c188",
    laid="current",
    environment=".venv-gate",
    requirements=("huggingface_hub==2.4.0", "datasets==5.2.0", "Pillow", *TOOLS),
)
OLDER = Library(
    name="huggingface_hub",
    version="0.36.2",
    sha256="1934304d2fb224f8afa3b87007d58501acfda9215b334eed53072dd5e815ff7a",
    laid="older",
    environment=".venv-gate-older",
    requirements=("huggingface_hub==0.36.2", "hf_xet", *TOOLS),
)
DATASETS = Library(
    name="datasets",
    version="5.2.0",
    sha256="f4290d4704dfbc99631a578b56912d66b22def53d3f61d246f6ccc129675490e",
    laid="datasets_library",
    environment=CURRENT.environment,
    requirements=CURRENT.requirements,
)

# No part of the Hub that is hosted here, or of the network.
ELSEWHERE = [
    "Inference",
    "inference_endpoint",
    "endpoint_image",
    "parallelism",
    "Collection",
    "Webhook",
    "Activity",
    "SpaceAPI",
    "AccessRequest",
    "Bucket",
]

HUB_FILES = tuple(
    f"tests/test_{name}.py"
    for name in [
        "hf_api",
        "snapshot_download",
        "file_download",
        "hf_file_system",
        "commit_scheduler",
        "xet_upload",
        "upload_pipeline",
        "repocard",
        "verification",
        "lfs",
        "tree_cache",
        "cli",
        "cli_discussions",
        "auth",
        "cache_layout",
        "cache_no_symlinks",
        "offline_utils",
    ]
)
# Its tests that go to huggingface.co are not marked as such, so the others are named.
OLDER_FILES = tuple(
    f"tests/test_{name}"
    for name in [
        "hf_api.py::HfApiRepoFileExistsTest",
        "hf_api.py::CommitApiTest",
        "hf_api.py::HfApiUploadEmptyFileTest",
        "hf_api.py::HfApiDeleteFolderTest",
        "hf_api.py::HfApiDeleteFilesTest",
        "hf_api.py::HfApiPrivateTest",
        "hf_api.py::TestSquashHistory",
        "hf_api.py::TestListAndPermanentlyDeleteLFSFiles",
        "hf_api.py::TestCommitInBackground",
        "hf_api.py::TestHfApiAuthCheck",
        "snapshot_download.py::SnapshotDownloadTests",
        "file_download.py::StagingDownloadTests",
        "file_download.py::HfHubDownloadToLocalDir",
        "file_download.py::StagingCachedDownloadOnAwfulFilenamesTest",
        "hf_file_system.py::HfFileSystemTests",
        "commit_scheduler.py::TestCommitScheduler",
    ]
)

SUITES = (
    Suite("xet", CURRENT, ("current.txt", "current-xet.txt"), HUB_FILES, tuple(ELSEWHERE)),
    Suite("lfs", CURRENT, ("current.txt",), HUB_FILES, tuple(ELSEWHERE), {"HF_HUB_DISABLE_XET": "1"}),
    Suite("older", OLDER, ("older.txt",), OLDER_FILES, tuple(ELSEWHERE)),
    Suite("datasets", DATASETS, ("datasets.txt",), ("tests/test_upstream_hub.py", "tests/test_hub.py")),
)
