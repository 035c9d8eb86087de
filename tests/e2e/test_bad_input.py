# SPDX-License-Identifier: Apache-2.0
"""A user's mistake gets a sentence: what, where, what was expected, what to do; nothing is lost.

Each case is one line on stderr with status 1 (2 for wrong usage), and no file is left that was not
there before.
"""
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import TOY_COLUMNS, TOY_SPEC, toy_rows, write_csv


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "work"
    made.mkdir()
    write_csv(made / "toy.csv", TOY_COLUMNS, toy_rows(400, 3))
    return made


def train(tapeout, folder, spec, *words, status=1):
    """Trains a spec that must fail; hands back the error line; no bundle may lie about."""
    (folder / "bad.yaml").write_text(spec)
    line = tapeout.fails("train", folder / "bad.yaml", "--out", folder / "bad.tapeout", *words,
                         status=status)
    left = {path.name for path in folder.iterdir()} - {"toy.csv", "bad.yaml"}
    assert not [name for name in left if "tapeout" in name], f"left behind: {left}"
    return line


@pytest.mark.parametrize("wrong,right", [
    ("modell: {learner: gbt}", "model"), ("model: {learner: gbt, leafs: 3}", "leaves"),
    ("model: {learner: gbt, learning_rat: 0.1}", "learning_rate"),
])
def test_a_wrong_key_names_the_nearest(tapeout, folder, wrong, right):
    line = train(tapeout, folder, TOY_SPEC.replace(TOY_SPEC.strip().split("\n")[-1], wrong))
    assert f'"{right}"' in line or f"{right}?" in line or f"'{right}'" in line
    assert "bad.yaml" in line


def test_a_wrong_function_names_the_nearest(tapeout, folder):
    line = train(tapeout, folder, TOY_SPEC.replace("log1p(income)", "log1pp(income)"))
    assert "log1p" in line and "log1pp" in line


def test_a_wrong_column_names_the_nearest(tapeout, folder):
    line = train(tapeout, folder, TOY_SPEC.replace("log1p(income)", "log1p(incom)"))
    assert "incom" in line and "income" in line


def test_a_target_that_is_not_there(tapeout, folder):
    line = train(tapeout, folder, TOY_SPEC.replace("column: bought", "column: bougt"))
    assert "bougt" in line and "bought" in line


def test_a_target_with_one_class(tapeout, folder):
    rows = [[*row[:5], 1] for row in toy_rows(400, 3)]
    write_csv(folder / "toy.csv", TOY_COLUMNS, rows)
    assert "bought" in train(tapeout, folder, TOY_SPEC)


def test_a_column_all_missing(tapeout, folder):
    rows = [["", *row[1:]] for row in toy_rows(400, 3)]
    write_csv(folder / "toy.csv", TOY_COLUMNS, rows)
    assert "age" in train(tapeout, folder, TOY_SPEC)


def test_a_test_split_without_rows(tapeout, folder):
    assert "test" in train(tapeout, folder, TOY_SPEC.replace("test: 0.25", "test: 0.0001"))


def test_fewer_rows_than_a_leaf(tapeout, folder):
    write_csv(folder / "toy.csv", TOY_COLUMNS, toy_rows(12, 3))
    line = train(tapeout, folder, TOY_SPEC)
    assert "row" in line


def test_an_empty_file_and_a_header_alone(tapeout, folder):
    (folder / "toy.csv").write_text("")
    assert "toy.csv" in train(tapeout, folder, TOY_SPEC)
    (folder / "toy.csv").write_text(",".join(TOY_COLUMNS) + "\n")
    assert "row" in train(tapeout, folder, TOY_SPEC)


@pytest.mark.parametrize("row,column", [
    (b'30,1.5,Ghent,2020-01-01,true', None), (b'30,1,Ghent,2020-01-01,true,1,9', None),
    (b'30,1.5,"Ghent,2020-01-01,true,1', None), (b'30,1.5,Gh\xffent,2020-01-01,true,1', "city"),
])
def test_a_broken_row_names_file_line_and_column(tapeout, folder, row, column):
    lines = (folder / "toy.csv").read_bytes().split(b"\n")
    lines[199] = row
    (folder / "toy.csv").write_bytes(b"\n".join(lines))
    line = train(tapeout, folder, TOY_SPEC)
    # A quote that is never closed runs on; the fault shows where the next quote stands.
    assert "toy.csv:200" in line or (b'"' in row and "toy.csv:" in line and "quote" in line)
    assert column is None or column in line


def test_a_missing_file(tapeout, folder):
    assert "nowhere.csv" in train(tapeout, folder, TOY_SPEC.replace("toy.csv", "nowhere.csv"))


def test_an_output_that_can_not_be_written(tapeout, folder):
    (folder / "good.yaml").write_text(TOY_SPEC)
    line = tapeout.fails("train", folder / "good.yaml", "--out", folder / "no/such/dir/m.tapeout")
    assert "no/such/dir" in line


def test_yaml_that_does_not_parse(tapeout, folder):
    line = train(tapeout, folder, "name: [unclosed\n")
    assert "bad.yaml" in line and ("line" in line or ":2" in line)


def test_a_query_can_not_leave_its_folder(tapeout, folder):
    secret = folder.parent / "secret.csv"
    secret.write_text("age,bought\n1,0\n2,1\n")
    for path in ("../secret.csv", str(secret)):
        spec = TOY_SPEC.replace("  train: toy.csv", f"  query: SELECT * FROM '{path}'")
        line = train(tapeout, folder, spec)
        assert "secret" in line or "permission" in line.lower()


@pytest.mark.parametrize("words", [
    ["fly"], ["train"], ["train", "x.yaml", "--seeed", "1"], ["predict", "only-a-model"],
    ["serve", "m", "--listen", "nonsense", "--no-auth"], ["train", "x.yaml", "--threads", "many"],
])
def test_wrong_usage_is_status_2(tapeout, words):
    tapeout.fails(*words, status=2)


def test_an_unknown_flag_names_the_nearest(tapeout):
    assert "--threads" in tapeout.fails("train", "x.yaml", "--thread", "2", status=2)


def test_a_server_beyond_loopback_does_not_start(toy):
    done = toy.command("serve", toy.bundle, "--no-auth", "--listen", "0.0.0.0:0", timeout=30)
    assert done.returncode in (1, 2) and "loopback" in done.stderr


def test_an_unknown_model_names_what_there_is(toy):
    assert "toy" in toy.command.fails("inspect", "toi")


def test_every_flipped_bit_of_a_bundle_is_refused(toy, tmp_path):
    data = toy.bundle.read_bytes()
    pick = random.Random(5)
    places = {0, 1, len(data) // 2, len(data) - 1} | {pick.randrange(len(data)) for _ in range(60)}
    hurt = tmp_path / "hurt.tapeout"
    for place in sorted(places):
        changed = bytearray(data)
        changed[place] ^= 1 << pick.randrange(8)
        hurt.write_bytes(changed)
        toy.command.fails("inspect", hurt)
        toy.command.fails("predict", hurt, toy.folder / "toy.csv")


def test_every_cut_of_a_bundle_is_refused(toy, tmp_path):
    data = toy.bundle.read_bytes()
    hurt = tmp_path / "hurt.tapeout"
    for size in (0, 1, 7, 8, 63, 64, 4096, len(data) // 2, len(data) - 1):
        hurt.write_bytes(data[:size])
        toy.command.fails("predict", hurt, toy.folder / "toy.csv")
    hurt.write_bytes(data + b"\0")
    toy.command.fails("predict", hurt, toy.folder / "toy.csv")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_train_leaves_no_bundle(tapeout, folder, how):
    write_csv(folder / "toy.csv", TOY_COLUMNS, toy_rows(60000, 3))
    (folder / "long.yaml").write_text(TOY_SPEC.replace("trees: 30", "trees: 20000"))
    process = subprocess.Popen(
        [str(tapeout.binary), "train", str(folder / "long.yaml"), "--out",
         str(folder / "long.tapeout")], env=tapeout.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(1.5)
    assert process.poll() is None, "it was over before it could be interrupted"
    process.send_signal(how)
    process.communicate(timeout=30)
    wanted = {signal.SIGINT: (130, -2), signal.SIGTERM: (143, -15), signal.SIGKILL: (-9,)}[how]
    assert process.returncode in wanted
    assert not (folder / "long.tapeout").exists()
    if how != signal.SIGKILL:
        assert {path.name for path in folder.iterdir()} == {"toy.csv", "long.yaml"}
    listed = tapeout.json("list")
    assert "long" not in str(listed) and "toy" not in str(listed)


def test_a_closed_pipe_is_quiet(toy):
    done = subprocess.run(
        ["sh", "-c", f'"{toy.command.binary}" predict "{toy.bundle}" "{toy.folder}/toy.csv" | head '
         "-n 1"], env=toy.command.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        check=False)
    assert done.stdout.count(b"\n") == 1 and done.stderr == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_can_not_be_written(tapeout, folder):
    tapeout.home.mkdir(mode=0o500)
    (folder / "good.yaml").write_text(TOY_SPEC)
    assert str(tapeout.home) in tapeout.fails("train", folder / "good.yaml")
