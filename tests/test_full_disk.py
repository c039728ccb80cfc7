"""Files that a full disk takes a part of: the former one stays, and the message is one line."""

import pytest

from nas.accuracy.model import load_accuracy_model, save_accuracy_model
from nas.errors import LatencyError, NasError
from nas.latency.csv_file import append
from nas.pipeline.kept import write_json
from nas.report.html import write_page
from nas.storage import write_bytes

MESSAGE = "not saved: File too large"


@pytest.fixture
def former(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"what was there before")
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, b"x" * 9000),
        lambda path: write_json(path, ["x" * 9000]),
        lambda path: write_page({"title": "x" * 9000}, path),
        lambda path: save_accuracy_model(load_accuracy_model("mnasnet_imagenet"), path),
    ],
)
def test_a_former_file_stays_as_it_was_and_nothing_else_is_left(write, former, small_files):
    with small_files(4096), pytest.raises(NasError, match=MESSAGE):
        write(former)
    assert former.read_bytes() == b"what was there before"
    assert list(former.parent.iterdir()) == [former]


def test_lines_that_do_not_fit_are_not_there_at_all(tmp_path, small_files):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n")
    with small_files(100):
        append(path, "1,2\n" * 20)
        with pytest.raises(LatencyError, match="File too large"):
            append(path, "3,4\n" * 20)
    append(path, "5,6\n")
    assert path.read_text() == "a,b\n" + "1,2\n" * 20 + "5,6\n"


def test_the_file_that_another_process_is_writing_is_left_alone(former):
    others = former.with_name(f".{former.name}.1.partial")
    others.write_bytes(b"half of")
    write_bytes(former, b"new")
    assert (former.read_bytes(), others.read_bytes()) == (b"new", b"half of")
