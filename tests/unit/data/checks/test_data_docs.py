import pytest

from homefeed.data.checks.data_docs import copy_offline, offline

PAGE = """<!DOCTYPE html><html><head>
<link rel="stylesheet" href="https://cdn.example/bootstrap.css"/>
<script src='https://cdn.example/jquery.js'></script>
<style>@import "//cdn.example/x.css"; div { background: url(http://a.example/b.png) }</style>
</head><body><a href="validations/one.html">one</a>
<a class="x" href="https://docs.example/guide">the guide</a>
<img src="//cdn.example/logo.png"><script>
fetch("https://telemetry.example")
</script><p>see https://example.org/more for more</p></body></html>"""


def test_a_page_asks_nothing_of_the_network():
    page = offline(PAGE)
    for word in ("http:", "https:", "//", "<script", "<link", "<img", "url(", "@import"):
        assert word not in page, word


def test_words_and_links_between_the_pages_stay():
    page = offline(PAGE)
    assert '<a href="validations/one.html">one</a>' in page
    assert "the guide" in page
    assert page.count("<style>") == 2


def test_a_site_that_was_not_built_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        copy_offline(tmp_path, tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
