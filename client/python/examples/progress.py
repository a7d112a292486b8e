"""Partial results while the task runs, and a time-out that stops its process."""

import time

import prefork


def search(limit: int) -> str:
    for number in range(limit):
        prefork.task.progress(number + 1, limit, f"looked at {number}")
        if number % 3 == 0:
            prefork.task.emit(number)
    return "done"


with prefork.Executor(1) as executor:
    future = executor.submit(search, 10)
    for part in future.stream():
        print("found", part)
    print(future.result(), future.progress)
    try:
        executor.options(timeout=0.2).submit(time.sleep, 60).result()
    except TimeoutError as error:
        print(type(error).__name__)
