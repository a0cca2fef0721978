"""What a key may do on a node: one request, and nothing but what the node allows."""

import io
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aistation_slurm.node import files
from aistation_slurm.node.files import MAX_FILE, Node, serve

ONE = "1" * 16


@pytest.fixture
def conf(tmp_path):
    folder = tmp_path / "slurm"
    folder.mkdir()
    (folder / "gres.conf").write_bytes(b"old\n")
    return folder


def entry(name, content):
    return {"name": name, "size": len(content), "sha256": sha256(content).hexdigest()}


def asked(node, request, body=b""):
    """Return what the node answers to the request, as it goes over the wire."""
    line = request if isinstance(request, bytes) else json.dumps(request).encode()
    out = io.BytesIO()
    code = serve(node, io.BytesIO(line + b"\n" + body), out)
    said = out.getvalue()
    assert said.endswith(b"\n")
    assert said.count(b"\n") == 1
    answer = json.loads(said)
    assert code == (0 if answer["ok"] else 1)
    return answer


def test_a_push_over_the_wire(conf):
    node = Node(conf)
    new = b"new\n"
    assert asked(node, {"verb": "stage", "push": ONE, "files": [entry("gres.conf", new)]}, new)["ok"]
    assert asked(node, {"verb": "look", "names": ["gres.conf"]})["state"] == "staged"
    assert asked(node, {"verb": "switch", "push": ONE})["ok"]
    seen = asked(node, {"verb": "look", "names": ["gres.conf", "cgroup.conf"]})
    assert seen["files"] == {"gres.conf": sha256(new).hexdigest(), "cgroup.conf": None}
    assert asked(node, {"verb": "back", "push": ONE})["ok"]
    assert (conf / "gres.conf").read_bytes() == b"old\n"


@pytest.mark.parametrize(
    ("request_", "body", "why"),
    [
        (b"GET / HTTP/1.1", b"", "not JSON"),
        ({"verb": "run", "argv": ["id"]}, b"", "verb is none of"),
        ({"verb": ["look"]}, b"", "verb is none of"),
        ([], b"", "verb is none of"),
        ({"verb": "look", "names": "gres.conf"}, b"", "no list of names"),
        ({"verb": "look", "names": ["../../etc/shadow"]}, b"", "none of the files"),
        ({"verb": "look", "names": ["munge.key"]}, b"", "none of the files"),
        ({"verb": "stage", "push": ONE, "files": []}, b"", "no list of files"),
        ({"verb": "stage", "push": "../x", "files": [entry("gres.conf", b"x")]}, b"x", "no id"),
        ({"verb": "stage", "push": ONE, "files": [entry("../gres.conf", b"x")]}, b"x", "none of the files"),
        ({"verb": "stage", "push": ONE, "files": [entry("gres.conf", b"abc")]}, b"ab", "did the connection break off"),
        ({"verb": "stage", "push": ONE, "files": [entry("gres.conf", b"abc")]}, b"abd", "not what was announced"),
        ({"verb": "stage", "push": ONE, "files": [entry("gres.conf", b"a")] * 2}, b"aa", "a file twice"),
        ({"verb": "stage", "push": ONE, "files": [entry("gres.conf", b"a") | {"size": MAX_FILE + 1}]}, b"a", "no size"),
        ({"verb": "stage", "push": ONE, "files": [entry("gres.conf", b"a") | {"size": True}]}, b"a", "no size"),
        ({"verb": "stage", "push": ONE, "files": [{"name": "gres.conf", "size": 1}]}, b"a", "no SHA-256"),
        ({"verb": "switch", "push": ONE}, b"", "nothing is staged"),
        ({"verb": "restart"}, b"", "may not restart"),
        (b"[" * 20_000, b"", "not JSON"),
        (b'{"verb": ' + b" " * 70_000 + b'"look"}', b"", "too long"),
    ],
)  # fmt: skip
def test_what_it_will_not_do(conf, request_, body, why):
    answer = asked(Node(conf), request_, body)
    assert why in answer["error"]
    assert {path.name: path.read_bytes() for path in conf.iterdir()} == {"gres.conf": b"old\n"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["gres.conf", "slurm.conf", "../x", ONE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "size", "sha256", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    line=st.binary(max_size=200)
    | st.fixed_dictionaries(
        {"verb": st.sampled_from(list(files.VERBS)) | JSON}, optional={"push": JSON, "files": JSON, "names": JSON}
    ).map(lambda request: json.dumps(request).encode()),
    body=st.binary(max_size=100),
)
@example(
    line=json.dumps(
        {"verb": "stage", "push": ONE, "files": [{"name": "../x", "size": 0, "sha256": sha256().hexdigest()}]}
    ).encode(),
    body=b"",
)
@example(line=b'{"verb": "look", "names": ["\\ud800"]}', body=b"")
def test_no_input_makes_it_write_elsewhere_or_break_down(tmp_path_factory, line, body):
    around = tmp_path_factory.mktemp("around")
    folder = around / "slurm"
    folder.mkdir()
    serve(Node(folder), io.BytesIO(line.replace(b"\n", b" ") + b"\n" + body), io.BytesIO())
    assert [path.name for path in around.iterdir()] == ["slurm"]
    stray = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert stray == set()  # nothing comes into force by one request


def test_slurmd_is_restarted_by_the_nodes_own_command_and_no_word_of_the_request(tmp_path, conf):
    told = tmp_path / "told"
    node = Node(conf, restart=("/bin/sh", "-c", f"echo restarted >> {told}"))
    assert asked(node, {"verb": "restart", "argv": ["/bin/false"], "unit": "; id"})["ok"]
    assert told.read_text() == "restarted\n"


def test_a_restart_that_fails_says_why(conf):
    node = Node(conf, restart=("/bin/sh", "-c", "echo 'Unit slurmd.service not found.' >&2; exit 5"))
    assert asked(node, {"verb": "restart"})["error"].endswith("exit code 5: Unit slurmd.service not found.")


def test_it_is_the_forced_command_of_a_key(conf, tmp_path):
    """As sshd starts it: by its path, the caller's own words in SSH_ORIGINAL_COMMAND, which nobody looks at."""
    request = json.dumps({"verb": "look", "names": ["gres.conf", "more.conf"]}).encode() + b"\n"
    argv = [
        str(Path(sys.executable).with_name("aistation")),
        "node",
        "files",
        "--folder",
        str(conf),
        "--name",
        "more.conf",
    ]
    env = {"PATH": "/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": f"touch {tmp_path}/broken"}
    done = subprocess.run(argv, input=request, capture_output=True, timeout=60, env=env, cwd=tmp_path, check=False)
    assert json.loads(done.stdout)["files"] == {"gres.conf": sha256(b"old\n").hexdigest(), "more.conf": None}
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_a_name_that_is_a_path_can_not_even_be_allowed(conf, name):
    from aistation_slurm.errors import UsageError

    with pytest.raises(UsageError, match="no plain name"):
        files.main([str(conf), "", name])


def test_the_nodes_end_imports_the_standard_library_only():
    program = (
        "import sys; before = set(sys.modules)\n"
        "import aistation_slurm.node.files\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'aistation_slurm'}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
