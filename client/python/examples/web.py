"""asyncio: a client that goes away stops the work that was done for it."""

import asyncio
import time

from prefork.asyncio import Executor


async def main() -> None:
    async with Executor(2) as executor:
        print(await asyncio.gather(*(executor.run(pow, 2, n) for n in range(5))))
        begin = time.monotonic()
        try:
            await asyncio.wait_for(executor.run(time.sleep, 60), 0.2)
        except asyncio.TimeoutError:
            print(f"stopped after {time.monotonic() - begin:.1f} s")


asyncio.run(main())
