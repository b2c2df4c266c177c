"""The commands of aiortc's programs: one JSON object a line comes in on standard input, reports go out."""

import asyncio
import json
import sys

# The exit code for a line that is no command.
USAGE_ERROR = 2


def report(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


def describe(connection):
    description = connection.localDescription
    report("description", type=description.type, sdp=description.sdp)


async def serve(peer):
    """Has `peer.obey` carry out each command until standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            command = json.loads(line)
            if not isinstance(command["do"], str):
                raise ValueError("a name is expected")
        except (ValueError, TypeError, KeyError) as error:
            print(f"aiortc: not a command: {error}", file=sys.stderr)
            sys.exit(USAGE_ERROR)
        try:
            await peer.obey(command)
        except Exception as error:  # whatever it is, it is to be seen
            report("error", message=repr(error))
