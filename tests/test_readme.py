"""The README's Python blocks run, in order, as a reader would type them; its links lead somewhere."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu  # texts

README = Path(__file__).parent.parent / "README.md"


def test_the_python_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "235,146 parameters" in printed
    assert "the first test image is a 7" in printed
    assert namespace["history"].val_accuracy[-1] > 0.9


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (README.parent / link).exists()]
    assert not missing


def test_the_two_commands_are_one_line_each():
    text = README.read_text(encoding="utf-8")
    for name in ("train", "test"):
        block = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)```", text, re.DOTALL)
        assert block, name
        assert block[1].count("\n") == 1
