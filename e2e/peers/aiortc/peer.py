"""aiortc's peer connection, commanded as the others are (`e2e/peers/web-peer.js`), with texts only: one JSON object a line, commands in,
reports out. It ends with its standard input; at a line that is no command, with one sentence on its standard error and exit code 2.

The argument is the kind of its certificate's key: `ec`, as aiortc has it, or `rsa`."""

import asyncio
import datetime
import sys

from aiortc import RTCCertificate, RTCPeerConnection, RTCSessionDescription
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from commands import describe, report, serve

# Of RSA keys, and of the certificate's validity.
BITS = 2048
DAYS = 30


class RsaCertificate(RTCCertificate):
    """A certificate of RSA, with the cipher suites that go with it."""

    def _create_ssl_context(self, srtp_profiles):
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
        return context

    @classmethod
    def generateCertificate(cls):
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aiortc")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        certificate = builder.not_valid_after(now + datetime.timedelta(days=DAYS)).sign(key, hashes.SHA256())
        return cls(key=key, cert=certificate)


class Peer:
    def __init__(self, key):
        self.connection = RTCPeerConnection()
        if key == "rsa":
            # There is no parameter for it.
            self.connection._RTCPeerConnection__certificates = [RsaCertificate.generateCertificate()]
        self.channels = {}
        self.connection.on("datachannel", self.attend)
        self.connection.on("connectionstatechange", lambda: report("state", state=self.connection.connectionState))

    def attend(self, channel):
        label = channel.label
        self.channels[label] = channel
        channel.on("open", lambda: report("open", label=label, id=channel.id))
        channel.on("message", lambda text: report("message", label=label, text=text))
        channel.on("close", lambda: report("closed", label=label, error=None))
        if channel.readyState == "open":
            report("open", label=label, id=channel.id)

    async def obey(self, command):
        what, connection = command["do"], self.connection
        if what == "open":
            self.attend(connection.createDataChannel(command["label"]))
        elif what == "offer":
            await connection.setLocalDescription(await connection.createOffer())
            describe(connection)
        elif what == "setRemote":
            await connection.setRemoteDescription(RTCSessionDescription(sdp=command["sdp"], type=command["type"]))
            if command["type"] == "offer":
                await connection.setLocalDescription(await connection.createAnswer())
                describe(connection)
        elif what == "send":
            self.channels[command["label"]].send(command["text"])
        elif what == "end":
            await connection.close()
        else:
            raise ValueError(f"there is no command {what}")


async def main():
    await serve(Peer(sys.argv[1]))


asyncio.run(main())
