"""Writes the offers of aiortc: of audio, video and data, and of data alone."""
import asyncio, sys
from aiortc import RTCPeerConnection
async def offer(av):
    pc = RTCPeerConnection()
    if av:
        pc.addTransceiver("audio"); pc.addTransceiver("video")
    pc.createDataChannel("data")
    await pc.setLocalDescription(await pc.createOffer())
    return pc.localDescription.sdp
async def main():
    for name, av in (("av", True), ("data", False)):
        open(f"{sys.argv[1]}/aiortc-{name}-offer.sdp","w",newline="").write(await offer(av))
asyncio.run(main())
