"""The energy of a GPU, with a fake driver library."""

from types import SimpleNamespace

import pynvml
import pytest
import torch

from ulfine.training.energy import Energy


@pytest.fixture
def driver(monkeypatch) -> None:
    """A library that reports 7,000 millijoules, then 8,500."""
    told, asked = [8500, 7000], []
    properties = SimpleNamespace(uuid="12-34")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: asked.append(uuid) or uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: told.pop() if handle else None)
    yield
    assert asked == ["GPU-12-34"]


@pytest.mark.usefixtures("driver")
def test_joules_are_the_difference_of_two_readings():
    assert Energy(torch.device("cuda")).joules() == 1.5


@pytest.mark.usefixtures("driver")
def test_a_driver_that_does_not_tell_is_no_error(monkeypatch):
    def unsupported(_: object) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", unsupported)
    assert Energy(torch.device("cuda")).joules() is None


def test_a_cpu_tells_nothing():
    assert Energy(torch.device("cpu")).joules() is None
