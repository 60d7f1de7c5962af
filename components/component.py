"""The one decorator of all components: the project's own image, nothing installed in a step."""

import functools
import os

from kfp import dsl

IMAGE = os.environ.get("HOMEFEED_IMAGE", "homefeed:latest")

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
