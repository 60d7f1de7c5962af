"""The pipelines by name, with what each is for, and their recipe; importing this imports no kfp."""

NAMES = {
    "embeddings": "check → sequences → item encoder → user encoder → evaluate → embed → publish",
    "daily": "check the new day → append → embed who was active → publish → freshness",
    "ranking": "point-in-time training set → rankers → evaluate → releases → gate",
    "abtest": "start a test; simulated users or a re-ranking; analyse → verdict → promotion",
    "lifecycle": "all of it, once",
}
DEFAULT_RECIPE = "small"
