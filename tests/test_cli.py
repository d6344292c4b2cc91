"""The commands against a running server, read by people and by programs."""

import json
import os
import pty
import select
import shlex
import subprocess

import pytest

from support import admin, gguf_files, paths

pytestmark = pytest.mark.own
NEAR = ("--threads", 1, "--ctx-size", 1024)


def run(*words, status=0, given=None, server=None, env=None):
    """Runs a command; its standard output as text."""
    environment = {**os.environ, **({"SWITCHYARD_URL": server.url} if server else {}), **(env or {})}
    done = subprocess.run([str(paths.SWITCHYARD), *map(str, words)], input=given, capture_output=True, text=True,
                          timeout=120, env=environment)
    assert done.returncode == status, done
    return done.stderr if status else done.stdout


@pytest.fixture(scope="module")
def server(require_binary, talkers, tmp_path_factory):
    from conftest import _session_server
    config = tmp_path_factory.mktemp("cli") / "c.yaml"
    config.write_text(f"""
defaults: {{args: {{threads: 1, ctx-size: 1024}}}}
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}
  - id: talker
    versions:
      - {{version: "1", file: {talkers / 'beta.gguf'}}}
      - {{version: "2", file: {talkers / 'gamma.gguf'}}}
aliases: [{{name: chat, to: talker@1}}]
""")
    server = _session_server(tmp_path_factory, "--config", config)
    yield server
    assert server.stop() == 0


def test_ls(server):
    text = run("ls", server=server)
    assert all(name in text for name in ("alpha", "talker", "chat"))
    listed = json.loads(run("ls", "--json", server=server))
    assert {"alpha", "talker"} <= {model["id"] for model in listed["models"]}


def test_life_of_a_model(server):
    for command, state in (("load", "hot"), ("park", "parked"), ("resume", "hot"), ("pin", "hot"), ("unpin", "hot"),
                           ("unload", "cold")):
        answer = json.loads(run(command, "alpha", "--json", server=server))
        assert answer["state"] == state and answer["pinned"] is (command == "pin")
        assert admin.state(server, "alpha") == state
    run("load", "alpha", server=server)
    assert "alpha" in run("ps", server=server)
    hot = json.loads(run("ps", "--json", server=server))
    assert "alpha" in json.dumps(hot)
    run("unload", "alpha", server=server)
    assert "alpha" not in run("ps", server=server)


def test_run_says_the_reply(server):
    assert run("run", "alpha", "hello there", "--max-tokens", 5, "--temperature", 0, server=server).split() == [
        "alpha"] * 5


def test_run_reads_standard_input_when_piped(server):
    assert run("run", "alpha", "--max-tokens", 3, "--temperature", 0, given="hello\n", server=server).split() == [
        "alpha"] * 3


def test_switch(server):
    assert run("run", "chat", "x", "-n", 2, server=server).split() == ["beta"] * 2
    run("switch", "chat", "talker@2", server=server)
    assert run("run", "chat", "x", "-n", 2, server=server).split() == ["gamma"] * 2
    assert "no version '9'" in run("switch", "chat", "talker@9", server=server, status=1)


def test_switch_rollback_and_aliases(server):
    run("switch", "chat", "talker@1", server=server)
    assert "talker@1 -> talker@2" in run("switch", "chat", "talker@2", "--dry-run", server=server)
    watched = subprocess.run([paths.SWITCHYARD, "switch", "chat", "talker@2", "--watch", "--why", "a test", "--url",
                              server.url], capture_output=True, text=True, timeout=60)
    assert watched.returncode == 0, watched.stderr
    assert "chat is now talker@2 (was talker@1" in watched.stdout
    for phase in ("admit", "load", "flip", "drain", "settle"):
        assert phase in watched.stderr, watched.stderr
    assert "talker@2" in run("aliases", server=server)
    assert "a test" in run("aliases", "chat", "--history", server=server)
    assert "before: talker@1" in run("aliases", "chat", server=server)
    assert "chat is now talker@1" in run("rollback", "chat", server=server)
    assert "fresh is now talker@1" in run("switch", "fresh", "talker@1", "--make", server=server)
    assert "no alias is called 'frehs'" in run("switch", "frehs", "talker@1", server=server, status=1)
    table = run("versions", "talker", server=server)
    assert "talker@1" in table and "config" in table and "chat, fresh" in table


def test_errors_are_sentences(server):
    assert "alpha" in run("load", "alhpa", server=server, status=1)
    assert "switchyard serve" in run("ls", "--url", "http://127.0.0.1:9", status=1)
    failed = subprocess.run([paths.SWITCHYARD, "load", "nothing", "--json", "--url", server.url], capture_output=True,
                            text=True, timeout=60)
    assert failed.returncode == 1 and json.loads(failed.stdout)["error"]["code"] == "not_found"
    assert run("lod", status=2)
    assert "--urll" in run("ls", "--urll", "x", status=2)


def test_errors_have_the_servers_code(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    good = gguf_files.make_talker(folder / "good.gguf", "alpha")
    for fault in ("truncated", "unknown-architecture"):
        gguf_files.make_broken(folder, fault, good)
    server = start("--models-dir", folder, *NEAR)

    def code(*words):
        done = subprocess.run([paths.SWITCHYARD, *words, "--json", "--url", server.url], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 1, done
        return json.loads(done.stdout)["error"]["code"]

    assert code("load", "truncated") == "corrupt_file"
    assert code("load", "unknown-architecture") == "unsupported_architecture"
    assert code("resume", "good") == "conflict"


def test_an_empty_name_is_said_to_be_empty(server):
    assert "empty" in run("load", "", server=server, status=2)


def test_unknown_models_are_listed_where_none_is_near(server):
    assert "'alpha'" in run("load", "/srv/models/alpha.gguf", server=server, status=1)
    assert "there are 'alpha'" in run("load", "something-else", server=server, status=1)


def test_serve_says_its_addresses_as_json(talkers, tmp_path, require_binary):
    words = [paths.SWITCHYARD, "serve", "--json", "--port", "0", "--models-dir", talkers, "--data-dir", tmp_path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as serving:
        told = json.loads(serving.stdout.readline())
        assert told["addresses"][0].startswith("http://127.0.0.1:") and told["version"]
        assert json.loads(run("ls", "--json", "--url", told["addresses"][0]))["models"]
        serving.terminate()
        assert serving.stdout.read() == ""
        assert serving.wait(60) == 0
    taken = subprocess.run([paths.SWITCHYARD, "serve", "--json", "--port", "0", "--models-dir", tmp_path / "no"],
                           capture_output=True, text=True, timeout=60)
    assert taken.returncode == 1 and json.loads(taken.stdout)["error"]["code"] == "not_found"


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *words):
        self.shown = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execv(paths.SWITCHYARD, [str(paths.SWITCHYARD), *map(str, words)])

    def wait_for(self, text):
        """Reads until `text` has been shown, and takes all up to its end away."""
        while text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], 60)
            assert ready, f"no {text!r} in {self.shown!r}"
            self.shown += os.read(self.terminal, 4096).decode(errors="replace")
        before, self.shown = self.shown.split(text, 1)
        return before

    def type(self, text):
        os.write(self.terminal, text.encode())

    def status(self):
        try:
            while os.read(self.terminal, 4096):
                pass
        except OSError:
            pass  # the other end has gone
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_ctrl_c_at_the_prompt(server):
    chat = Terminal("run", "alpha", "--max-tokens", 3, "--temperature", 0, "--url", server.url)
    chat.wait_for("> ")
    chat.type("never sent\x03")
    chat.wait_for("Ctrl-C once more, or Ctrl-D, leaves.")
    chat.wait_for("> ")
    chat.type("hello\n")
    chat.wait_for("alpha alpha alpha")
    chat.wait_for("> ")
    chat.type("\x03")
    chat.wait_for("Ctrl-C once more")
    chat.wait_for("> ")
    chat.type("\x03")
    chat.wait_for("the conversation is over")
    assert chat.status() == 0


def test_names_do_not_steer_the_terminal(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    gguf_files.make_talker(folder / "evil\x1b[2Jname.gguf", "alpha")
    server = start("--models-dir", folder, *NEAR)
    assert "evil [2Jname" in run("ls", server=server)
    assert "\x1b" not in run("ls", server=server) + run("ps", server=server)
    run("run", "evil\x1b[2Jname", "hello", "-n", 2, server=server)
    assert "\x1b" not in run("run", "evil\x1b]0;x", "hello", server=server, status=1)
    assert "\x1b" not in run("inspect", folder / "evil\x1b[2Jname.gguf")
    assert "evil [2Jname" in server.log and "\x1b" not in server.log


def test_key(start, talkers):
    server = start("--models-dir", talkers, "--api-key", "sk-secret", *NEAR)
    assert "key" in run("ls", server=server, status=1).lower()
    assert "alpha" in run("ls", "--api-key", "sk-secret", server=server)
    assert "alpha" in run("ls", server=server, env={"SWITCHYARD_API_KEY": "sk-secret"})


def test_inspect(talkers):
    text = run("inspect", talkers / "alpha.gguf")
    assert "llama" in text and "4096" in text
    seen = json.loads(run("inspect", talkers / "alpha.gguf", "--ctx-size", 512, "--json"))
    assert "general.architecture" in json.dumps(seen) and "weights" in json.dumps(seen)


def test_doctor(talkers):
    assert "alpha" in run("doctor", "--models-dir", talkers)
    seen = json.loads(run("doctor", "--models-dir", talkers, "--json"))
    assert "memory" in json.dumps(seen).lower()


def test_config_check(talkers, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(f"models:\n  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}\n")
    bad.write_text("limits:\n  models_maxx: 3\nmodels:\n  - {id: a, file: x.gguf, args: {ctx-sise: 12}}\n")
    run("config", "check", good)
    told = run("config", "check", bad, status=1)
    assert "bad.yaml:2" in told and "models_max" in told
    assert "bad.yaml:4" in told and "ctx-size" in told
    answer = subprocess.run([paths.SWITCHYARD, "config", "check", str(bad), "--json"], capture_output=True, text=True,
                            timeout=60)
    error = json.loads(answer.stdout)["error"]
    assert error["code"] == "invalid_argument" and "bad.yaml:2" in error["message"]


def test_config_check_of_odd_files(talkers, tmp_path):
    pipe, folder, public = tmp_path / "pipe.yaml", tmp_path / "folder.yaml", tmp_path / "public.yaml"
    os.mkfifo(pipe)
    assert "no regular file" in run("config", "check", pipe, status=1)
    public.write_text("server: {host: 0.0.0.0}\n")
    assert "without a key" in run("config", "check", public, status=1)
    folder.write_text(f"models: [{{id: m, file: {talkers}}}]\n")
    noted = subprocess.run([paths.SWITCHYARD, "config", "check", str(folder)], capture_output=True, text=True,
                           timeout=60)
    assert noted.returncode == 0 and "no regular file" in noted.stderr


def test_documented_keys_are_real(tmp_path):
    """The example of the configuration page is accepted."""
    page = paths.REPO / "docs/configuration.md"
    if not page.exists():
        pytest.skip("no docs/configuration.md")
    example = page.read_text().split("```yaml\n", 1)[1].split("```", 1)[0]
    file = tmp_path / "example.yaml"
    file.write_text(example)
    done = subprocess.run([paths.SWITCHYARD, "config", "check", str(file)], capture_output=True, text=True, timeout=60)
    assert "unknown" not in done.stderr, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, tmp_path):
    text = run("completion", shell)
    assert all(command in text for command in ("serve", "unload", "inspect"))
    if shell == "bash":
        script = tmp_path / "completion"
        script.write_text(text)
        subprocess.run(["bash", "-n", script], check=True)


def test_version():
    assert run("version").strip()
    assert json.loads(run("version", "--json"))
    assert run("--version").strip()


def test_every_command_explains_itself():
    text = run("--help")
    for command in ("serve", "run", "ls", "ps", "load", "unload", "park", "resume", "pin", "unpin", "release",
                    "health", "switch", "rollback", "aliases", "versions", "keys", "usage", "pull", "inspect", "doctor", "version",
                    "completion"):
        assert command in text
        assert "Usage" in run(command, "--help")


def test_inspect_reads_the_real_models(real_models):
    for file, architecture in ((paths.SMOLLM2_FILE, "llama"), (paths.GEMMA_FILE, "gemma3")):
        assert architecture in run("inspect", file)


def test_nothing_listens_after_a_bad_model(tmp_path):
    """-m with a broken file: the fault is said and the process ends."""
    good = gguf_files.make_talker(tmp_path / "good.gguf")
    broken = gguf_files.make_broken(tmp_path, "truncated", good)
    done = subprocess.run([paths.SWITCHYARD, "serve", "-m", str(broken), "--port", "0"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and "truncated.gguf" in done.stderr + done.stdout
    broken.unlink()
    done = subprocess.run([paths.SWITCHYARD, "serve", "-m", str(broken), "--port", "0"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and "truncated.gguf" in done.stderr and not done.stdout


def complete(line, tmp_path, env=None):
    """What bash offers at the end of `line`."""
    script = tmp_path / "completion"
    script.write_text(run("completion", "bash"))
    program = (f"source {script}; COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}; _switchyard; "
               "printf '%s\\n' \"${COMPREPLY[@]}\"")
    environment = {**os.environ, "PATH": f"{paths.SWITCHYARD.parent}:{os.environ['PATH']}", **(env or {})}
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, env=environment,
                          cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done
    return [word for word in done.stdout.split("\n") if word]


def test_completion_of_words(tmp_path):
    (tmp_path / "c.yaml").write_text("")
    assert complete("switchyard unl", tmp_path) == ["unload"]
    assert "model-names" not in complete("switchyard ", tmp_path)
    assert complete("switchyard experiment re", tmp_path) == ["remove", "report"]
    assert complete("switchyard experiment report --fo", tmp_path) == ["--format"]
    assert complete("switchyard config ", tmp_path) == ["check"]
    assert "c.yaml" in complete("switchyard config check ", tmp_path)
    assert complete("switchyard config check --mod", tmp_path) == ["--models-dir"]
    assert "c.yaml" in complete("switchyard inspect c", tmp_path)
    assert complete("switchyard completion ", tmp_path) == ["bash", "zsh", "fish"]
    assert "--url" in complete("switchyard load --u", tmp_path)
    assert "--ctx-size" in complete("switchyard serve --ctx-s", tmp_path)


def test_completion_of_models(start, talkers, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"""
models:
  - {{id: alpha, file: {talkers / 'alpha.gguf'}}}
  - {{id: "two words", file: {talkers / 'beta.gguf'}}}
  - {{id: "user/name:Q4", file: {talkers / 'gamma.gguf'}}}
aliases: [{{name: chat, to: alpha}}]
""")
    env = {"SWITCHYARD_URL": start("--config", file).url}
    assert complete("switchyard load ", tmp_path, env) == ["alpha", "two\\ words", "user/name:Q4", "chat"]
    assert complete("switchyard load tw", tmp_path, env) == ["two\\ words"]
    assert complete("switchyard load two\\ w", tmp_path, env) == ["two\\ words"]
    # bash itself keeps what stands before the colon.
    assert complete("switchyard load user/name:", tmp_path, env) == ["Q4"]
    assert complete("switchyard load alpha ", tmp_path, env) == []
    assert complete("switchyard load --api-key x alp", tmp_path, env) == ["alpha"]
    assert "alpha" in complete("switchyard switch chat ", tmp_path, env)
    assert complete("switchyard switch chat alpha ", tmp_path, env) == []
