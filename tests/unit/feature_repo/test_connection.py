import subprocess
import sys

LOOK_UP = """
import sys
from pathlib import Path
from feature_repo.client import FeatureStore
from feature_repo.definitions import EncoderView
root, what = Path(sys.argv[1]), sys.argv[2]
store = FeatureStore(root)
if what == "declare":
    store.apply([EncoderView(hash="aaaa1111" * 2, dim=8)])
else:
    store.connection.encoder_view("aaaa1111" * 2)
import feast
import typeguard
print(feast.FeatureView.__init__.__code__.co_filename.endswith("feature_view.py"))
print("TypeCheckMemo" in feast.FeatureView.__init__.__code__.co_names)
print(typeguard.typechecked.__name__)
"""


def test_whatever_opens_feast_leaves_its_classes_as_they_are_written(tmp_path):
    for what in ("declare", "read a view"):
        command = [sys.executable, "-c", LOOK_UP, str(tmp_path / "feast"), what]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["True", "False", "typechecked"], what
