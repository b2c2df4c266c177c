"""GStreamer's `webrtcbin`, commanded as the others are (`e2e/peers/web-peer.js`), with texts only: one JSON object a line, commands in,
reports out. It ends with its standard input; at a line that is no command, with one sentence on its standard error and exit code 2.

Its certificate is of RSA. Debian's python3-gi, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-plugins-bad and gstreamer1.0-nice bring
everything, for Debian's own Python."""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

# The exit code for a line that is no command.
USAGE_ERROR = 2


def report(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


class Peer:
    def __init__(self):
        self.pipeline = Gst.Pipeline.new(None)
        self.bin = Gst.ElementFactory.make("webrtcbin", None)
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.bin)
        self.channels = {}
        self.bin.connect("on-data-channel", lambda _, channel: self.attend(channel))
        self.bin.connect("notify::connection-state", lambda *_: report("state", state=self.bin.get_property("connection-state").value_nick))
        self.bin.connect("notify::ice-gathering-state", lambda *_: self.describe())
        self.pipeline.set_state(Gst.State.PLAYING)

    def attend(self, channel):
        label = channel.get_property("label")
        self.channels[label] = channel
        channel.connect("on-open", lambda *_: report("open", label=label, id=channel.get_property("id")))
        channel.connect("on-message-string", lambda _, text: report("message", label=label, text=text))
        channel.connect("on-close", lambda *_: report("closed", label=label, error=None))
        if channel.get_property("ready-state") == GstWebRTC.WebRTCDataChannelState.OPEN:
            report("open", label=label, id=channel.get_property("id"))

    def create(self, kind):
        def created(promise):
            reply = promise.get_reply()
            if not reply or not reply.has_field(kind):
                return report("error", message=f"no {kind}")
            self.bin.emit("set-local-description", reply.get_value(kind), Gst.Promise.new())

        self.bin.emit(f"create-{kind}", None, Gst.Promise.new_with_change_func(created))

    def describe(self):
        description = self.bin.get_property("local-description")
        if description and self.bin.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            report("description", type=description.type.value_nick, sdp=description.sdp.as_text())

    def set_remote(self, kind, sdp):
        kinds = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        description = GstWebRTC.WebRTCSessionDescription.new(kinds[kind], message)

        def done(_):
            # It reads no candidates in descriptions.
            index = -1
            for line in sdp.splitlines():
                index += line.startswith("m=")
                if line.startswith("a=candidate:"):
                    self.bin.emit("add-ice-candidate", index, line[2:])
            if kind == "offer":
                self.create("answer")

        self.bin.emit("set-remote-description", description, Gst.Promise.new_with_change_func(done))

    def obey(self, command):
        what = command["do"]
        if what == "open":
            self.attend(self.bin.emit("create-data-channel", command["label"], None))
        elif what == "offer":
            self.create("offer")
        elif what == "setRemote":
            self.set_remote(command["type"], command["sdp"])
        elif what == "send":
            self.channels[command["label"]].emit("send-string", command["text"])
        elif what == "end":
            self.pipeline.set_state(Gst.State.NULL)
        else:
            raise ValueError(f"there is no command {what}")


def read(peer, loop):
    for line in sys.stdin:
        try:
            command = json.loads(line)
            if not isinstance(command["do"], str):
                raise ValueError("a name is expected")
        except (ValueError, TypeError, KeyError) as error:
            print(f"gstreamer: not a command: {error}", file=sys.stderr)
            status.append(USAGE_ERROR)
            break
        GLib.idle_add(obey, peer, command)
    GLib.idle_add(loop.quit)


def obey(peer, command):
    try:
        peer.obey(command)
    except Exception as error:  # whatever it is, it is to be seen
        report("error", message=repr(error))
    return GLib.SOURCE_REMOVE


Gst.init(None)
status = []
main = GLib.MainLoop()
threading.Thread(target=read, args=(Peer(), main), daemon=True).start()
main.run()
sys.exit(*status)
