"""A worker is killed in the middle: one future fails, and says why."""

import os
import signal

import prefork


def work(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


with prefork.Executor(2) as executor:
    futures = [executor.submit(work, number) for number in range(6)]
    for future in futures:
        try:
            print(future.result())
        except prefork.TaskCrashed as error:
            assert error.report is not None
            print(f"crashed: {error.report.signal_name}, attempt {error.report.attempt}")
