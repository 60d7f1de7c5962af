"""The exception tree. Every message says what was wrong, the value found, and what to do.

HomefeedError                 exit 2: the person at the keyboard can fix it
├── UsageError                words of the command line that it does not know
├── ConfigError               an unknown key, a value of the wrong type
├── DatasetError              a missing file, a wrong column, a wrong type, an empty table
├── UnknownIdError            a user or an item that the vocabulary does not hold
├── ArtifactError             an artifact is missing, truncated, or of another version or hash
├── StorageError              the disk is full or not writable
├── BusyError                 another run holds the lock
├── ReleaseError              a release that does not agree with its parts, an unknown version
├── LedgerConflict            compare-and-set lost: somebody else promoted first
├── FeatureStoreError         the feature store is missing, stale, or read back differently
├── ServerError               the server is not there, or answered with an error
│   └── OverloadedError       it refused early: asked again a little later, it answers
├── PipelineError             a step failed, an unknown run
└── GateRefused               exit 3: a threshold decided against going on
    ├── CheckRefused          too many bad rows
    └── PromotionRefused      the challenger is not better
"""


class HomefeedError(Exception):
    """Root of all errors that a user can act on. ``exit_code`` is what the command line returns.

    Its text is one line, also where it tells another library's error that had several: the log of a
    step is read by line, and what to do stands at the end.
    """

    exit_code = 2

    def __str__(self) -> str:
        return " ".join(line.strip() for line in super().__str__().splitlines())


class UsageError(HomefeedError):
    """Words of the command line that it does not know, or misses."""


class ConfigError(HomefeedError):
    """An unknown key, or a value of the wrong type, in the configuration."""


class DatasetError(HomefeedError):
    """The data set does not keep the contract (docs/bring-your-own-data.md)."""


class UnknownIdError(HomefeedError):
    """A user or an item that the vocabulary does not hold."""


class ArtifactError(HomefeedError):
    """An artifact is missing, truncated, or of another version or hash than its reader needs."""


class StorageError(HomefeedError):
    """The disk is full or not writable."""


class BusyError(HomefeedError):
    """Another run holds the lock of the local profile."""


class ReleaseError(HomefeedError):
    """A release whose parts do not agree, or that does not exist."""


class LedgerConflict(HomefeedError):
    """Compare-and-set on the ledger lost: somebody else wrote first."""


class FeatureStoreError(HomefeedError):
    """The feature store is missing, stale, or gave back other bytes than were written."""


class ServerError(HomefeedError):
    """The server cannot be reached, or answered with an error."""


class OverloadedError(ServerError):
    """The server refused early (429): nothing was done, and a little later it may answer."""


class PipelineError(HomefeedError):
    """A pipeline step failed, or the run is unknown."""


class GateRefused(HomefeedError):
    """A declared threshold decided against going on."""

    exit_code = 3


class CheckRefused(GateRefused):
    """The data checks refused a data set."""


class PromotionRefused(GateRefused):
    """The promotion gate refused a challenger."""
