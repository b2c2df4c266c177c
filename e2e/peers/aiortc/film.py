"""aiortc's peer connection with media, commanded as the others are (`e2e/peers/media-peer.js`): one JSON object a line, commands in,
reports out. It sends a picture that it encodes itself and silence, and counts the frames that it decodes. It ends with its standard input;
at a line that is no command, with one sentence on its standard error and exit code 2."""

import asyncio
import json
import sys

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

# The exit code for a line that is no command.
USAGE_ERROR = 2


def report(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


class Peer:
    def __init__(self):
        self.connection = RTCPeerConnection()
        self.counts = {"audio": 0, "video": 0}
        self.tasks = set()
        self.connection.on("track", self.attend)
        self.connection.on("connectionstatechange", lambda: report("state", state=self.connection.connectionState))

    def attend(self, track):
        task = asyncio.ensure_future(self.count(track))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def count(self, track):
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.counts[track.kind] += 1

    def add_tracks(self):
        self.connection.addTrack(AudioStreamTrack())
        self.connection.addTrack(VideoStreamTrack())

    async def obey(self, command):
        what, connection = command["do"], self.connection
        if what == "offer":
            self.add_tracks()
            await connection.setLocalDescription(await connection.createOffer())
            self.describe()
        elif what == "setRemote":
            await connection.setRemoteDescription(RTCSessionDescription(sdp=command["sdp"], type=command["type"]))
            if command["type"] == "offer":
                self.add_tracks()
                await connection.setLocalDescription(await connection.createAnswer())
                self.describe()
        elif what == "count":
            report("counts", **self.counts)
        elif what == "end":
            await connection.close()
        else:
            raise ValueError(f"there is no command {what}")

    def describe(self):
        description = self.connection.localDescription
        report("description", type=description.type, sdp=description.sdp)


async def main():
    peer, reader = Peer(), asyncio.StreamReader()
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


asyncio.run(main())
