"""The command line: overview, lazy imports, and errors that teach."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpcbench import __version__
from hpcbench.cli import COMMANDS, main
from hpcbench.errors import INTERRUPTED

HEAVY = ("torch", "matplotlib", "pandas", "h5py", "mpi4py")


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in shown
        assert summary in shown
    assert main([]) == 2
    capsys.readouterr()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hpcbench {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hpcbench.cli import main; main(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: hpcbench {name}" in shown
    assert "--json" in shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_refuses_unknown_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--no-such-option"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hpcbench: ")
    assert len(captured.err.splitlines()) == 1


def test_an_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulte"]) == 2
    assert '"simulte": no such command (did you mean "simulate"?)' in capsys.readouterr().err


def test_a_command_without_a_file_of_settings_takes_no_overrides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--train.window", "4"]) == 2
    assert "--train.window: no such option" in capsys.readouterr().err


def test_ctrl_c_is_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import jobs.commands.doctor

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs.commands.doctor, "command", interrupt)
    assert main(["doctor"]) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_ranks_raise_together_and_the_first_one_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err == ""


def test_the_readme_describes_the_commands_that_exist() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in COMMANDS:
        assert f"hpcbench {name}" in readme, f"README.md does not mention hpcbench {name}"
