"""What launchers tell through the environment."""

import pytest

from hpcbench.parallel import environment
from hpcbench.parallel.environment import is_launched, launched_rank, without_foreign_job


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*environment.RANK, *environment.LAUNCHED):
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_nobody_launched() -> None:
    assert not is_launched()
    assert launched_rank() == 0


@pytest.mark.parametrize("name", environment.RANK)
def test_every_launcher_states_the_rank(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")
    assert launched_rank() == 3


def test_mpirun_is_trusted_before_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert not is_launched(), "a step of Slurm is no MPI job yet"
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "2")
    assert launched_rank() == 2


@pytest.mark.parametrize("name", environment.LAUNCHED)
def test_a_nested_launcher_sees_no_trace_of_the_job(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "2")
    assert is_launched()
    given = {name: "2", "HYDRA_RANK": "1", "OMPI_MCA_pml": "ob1", "SLURM_JOB_ID": "7"}
    assert without_foreign_job(given) == {"OMPI_MCA_pml": "ob1", "SLURM_JOB_ID": "7"}
