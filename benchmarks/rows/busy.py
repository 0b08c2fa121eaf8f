"""15. Steps of full fine-tuning beside two busy processes, as on a shared server: share of the idle machine's rate."""

from ulfine.runner.stage import stage  # noqa: F401 (sets the number of threads)

import statistics
import subprocess
import sys
import time

import torch

from benchmarks.measured import Found, report, seconds, shown

CPU = torch.device("cpu")
STEPS, TURNS, OTHERS = 12, 3, 2
MEASURE = "measure"


def rate() -> float:
    """Views a second of a step, in this process."""
    from benchmarks.cell import FirstCell

    training = FirstCell().training("fft")
    times = [seconds(lambda: training.step(step), CPU) for step in range(STEPS + 2)]  # noqa: B023 (called at once)
    return training.batches.images_per_step / statistics.median(times[2:])


def of_a_process() -> float:
    """The same of a process of its own, which finds the machine as it is when it starts."""
    command = [sys.executable, "-m", "benchmarks.rows.busy", MEASURE]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return float(found.stdout.split()[-1])


def main() -> None:
    """Measure in turns, alone and beside the others."""
    alone, beside = [], []
    for _ in range(TURNS):
        alone.append(of_a_process())
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(OTHERS)]
        try:
            time.sleep(1)
            beside.append(of_a_process())
        finally:
            for other in others:
                other.kill()
                other.wait()
    shares = sorted(there / idle for there, idle in zip(beside, alone, strict=True))
    note = f"alone {shown(statistics.median(alone))} views/s; shares {', '.join(map(shown, shares))}; fair is 0.5"
    found = Found(15, "share of the idle rate, FFT step", statistics.median(shares), "", 0.35, "higher", note)
    report(found, device=CPU)


if __name__ == "__main__":
    print(rate()) if sys.argv[1:] == [MEASURE] else main()
