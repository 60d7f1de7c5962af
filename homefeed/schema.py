"""Column names, action roles, shared files, artifact versions: the one place that spells them."""

from enum import IntFlag

# --- columns of the dataset contract ---
USER_ID = "user_id"
ITEM_ID = "item_id"
ACTION_TYPE = "action_type"
TIMESTAMP = "timestamp"
SURFACE = "surface"
DURATION_S = "duration_s"
REQUEST_ID = "request_id"
EVENT_ID = "event_id"
ARRIVED_AT = "arrived_at"
TIME_KNOWN = "time_known"  # optional boolean: false where the log has an order but no times
TEXT = "text"
CATEGORIES = "categories"
CONTENT = "content"
CREATED_AT = "created_at"
COLLECTION_ID = "collection_id"
POSITION = "position"
PROPENSITY = "propensity"

ACTIONS = "actions"
ITEMS = "items"
COLLECTIONS = "collections"
IMPRESSIONS = "impressions"
TABLES = (ACTIONS, ITEMS, COLLECTIONS, IMPRESSIONS)

PADDING = 0  # index 0 of every vocabulary: no user, no item, no action type

# --- files of a workspace that more than one package opens ---
EVENT_LOG_FILE = "events.db"  # exposures and actions: a server writes it
LEDGER_FILE = "ledger.db"  # releases, and who was champion when


class ActionFlag(IntFlag):
    """Bits of the sequence store's ``flags`` column."""

    POSITIVE = 1  # a target for the user encoder (long enough, of a positive type)
    NEGATIVE = 2  # an explicit dislike: input only, never a target
    TIME_UNKNOWN = 4  # ordered but untimed: time features are masked


# Artifact schema versions: raised when a reader of the old form would misread the new one.
SEQUENCE_STORE_VERSION = 2  # items that were only shown have an index as well
TRAINING_SET_VERSION = 4
ITEM_ENCODER_VERSION = 1
USER_ENCODER_VERSION = 2
SNAPSHOT_VERSION = 1
RELEASE_VERSION = 2
