"""The one decorator of all components: the project's own image, nothing installed in a step.

The image is the default of `pipelines.image`; compiling puts the configured one in its place.
"""

import functools

from kfp import dsl

from homefeed.config import PipelinesConfig

IMAGE = PipelinesConfig.image

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
