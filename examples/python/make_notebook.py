"""make_notebook.py - tutorial.ipynb out of docs/python/tutorial.md, so that they say the same."""
import json
import pathlib
import re
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent


def cells(page: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number, part in enumerate(re.split(r"```python\n(.*?)```\n", page, flags=re.DOTALL)):
        text = re.sub(r"<!--.*?-->\n", "", part).strip("\n")
        if text:
            kind = "code" if number % 2 else "markdown"
            made.append({"cell_type": kind, "id": f"cell-{number}", "metadata": {},
                         "source": text.splitlines(keepends=True),
                         **({"execution_count": None, "outputs": []} if kind == "code" else {})})
    return made


def notebook() -> str:
    page = (HERE.parents[1] / "docs/python/tutorial.md").read_text()
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells(page), "metadata": {"kernelspec": kernel}, "nbformat": 4,
                       "nbformat_minor": 5}, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "tutorial.ipynb").write_text(notebook())
