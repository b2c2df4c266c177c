"""libnice's ICE agent (GStreamer's), commanded as e2e/peers/ice is: one JSON object a line, commands in, reports out. It ends with its
standard input; at a line that is no command, with one sentence on its standard error and exit code 2.

Debian's python3-gi and gir1.2-nice-0.1 bring everything, for Debian's own Python."""

import ctypes
import json
import os
import sys
import threading

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402

COMPONENT = 1

# The exit code for a line that is no command.
USAGE_ERROR = 2

# Data is bytes, which the introspected functions do not carry.
C = ctypes.CDLL("libnice.so.10")
RECEIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)
C.nice_agent_attach_recv.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, RECEIVE, ctypes.c_void_p]
C.nice_agent_send.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_char_p]

KINDS = {
    Nice.CandidateType.HOST: "host",
    Nice.CandidateType.SERVER_REFLEXIVE: "srflx",
    Nice.CandidateType.PEER_REFLEXIVE: "prflx",
    Nice.CandidateType.RELAYED: "relay",
}

# The W3C's words. libnice has none for a path that may come back: it fails as soon as consent has
# ended.
STATES = {
    Nice.ComponentState.DISCONNECTED: "new",
    Nice.ComponentState.GATHERING: "new",
    Nice.ComponentState.CONNECTING: "checking",
    Nice.ComponentState.CONNECTED: "connected",
    Nice.ComponentState.READY: "completed",
    Nice.ComponentState.FAILED: "failed",
}


def tell(event, **rest):
    print(json.dumps({"event": event, **rest}), flush=True)


class Peer:
    def __init__(self, start):
        self.lite = start.get("lite", False)
        options = Nice.AgentOption.ICE_TRICKLE | Nice.AgentOption.CONSENT_FRESHNESS
        options |= Nice.AgentOption.REGULAR_NOMINATION | Nice.AgentOption.SUPPORT_RENOMINATION
        if self.lite:
            options |= Nice.AgentOption.LITE_MODE
        self.agent = Nice.Agent.new_full(GLib.MainContext.default(), Nice.Compatibility.RFC5245, options)
        self.agent.set_property("upnp", False)
        self.agent.set_property("ice-tcp", start.get("tcp", False))
        self.agent.set_property("controlling-mode", start["role"] == "controlling")
        self.agent.set_property("force-relay", start.get("relayOnly", False))
        for text in start["addresses"]:
            address = Nice.Address()
            address.init()
            address.set_from_string(text)
            self.agent.add_local_address(address)
        self.stream = self.agent.add_stream(1)
        for server in start.get("servers", []):
            self.use(server)
        self.agent.connect("new-candidate-full", self.found)
        self.agent.connect("candidate-gathering-done", lambda *_: tell("gathered"))
        self.agent.connect("component-state-changed", self.changed)
        self.agent.connect("new-selected-pair-full", self.selected)
        self.receive = RECEIVE(self.heard)
        C.nice_agent_attach_recv(hash(self.agent), self.stream, COMPONENT, None, self.receive, None)
        self.introduce()
        if not self.agent.gather_candidates(self.stream):
            sys.exit("libnice cannot gather")

    def use(self, server):
        if server["kind"] == "stun":
            self.agent.set_property("stun-server", server["host"])
            self.agent.set_property("stun-server-port", server["port"])
            return
        kind = Nice.RelayType.TCP if server.get("transport") == "tcp" else Nice.RelayType.UDP
        user = (server["username"], server["credential"])
        self.agent.set_relay_info(self.stream, COMPONENT, server["host"], server["port"], *user, kind)

    def introduce(self):
        _, ufrag, pwd = self.agent.get_local_credentials(self.stream)
        tell("credentials", ufrag=ufrag, pwd=pwd, lite=self.lite)

    def obey(self, command):
        commands = {
            "remote": self.remote,
            "candidate": self.candidate,
            "end": lambda _: self.agent.peer_candidate_gathering_done(self.stream),
            "send": self.send,
            "restart": self.restart,
        }
        try:
            act = commands[command["do"]]
        except KeyError:
            refuse(f"there is no command {command['do']!r}")
        act(command)

    def remote(self, command):
        self.agent.set_remote_credentials(self.stream, command["ufrag"], command["pwd"])

    def candidate(self, command):
        candidate = self.agent.parse_remote_candidate_sdp(self.stream, "a=" + command["line"])
        if candidate is None:
            sys.exit("libnice cannot read " + command["line"])
        self.agent.set_remote_candidates(self.stream, COMPONENT, [candidate])

    def restart(self, _):
        self.agent.restart()
        self.introduce()
        # The sockets stay, and so do the own candidates.
        for candidate in self.agent.get_local_candidates(self.stream, COMPONENT):
            self.found(self.agent, candidate)
        tell("gathered")

    def send(self, command):
        data = command["text"].encode()
        C.nice_agent_send(hash(self.agent), self.stream, COMPONENT, len(data), data)

    def found(self, agent, candidate):
        tell("candidate", line=agent.generate_local_candidate_sdp(candidate).removeprefix("a="))

    def changed(self, _agent, _stream, _component, state):
        tell("state", state=STATES[state])

    def selected(self, _agent, _stream, _component, local, remote):
        place = lambda candidate: f"{candidate.addr.dup_string()}:{candidate.addr.get_port()}"
        protocol = "udp" if local.transport == Nice.CandidateTransport.UDP else "tcp"
        tell("pair", local=KINDS[local.type], remote=KINDS[remote.type], to=place(remote), protocol=protocol, **{"from": place(local)})

    def heard(self, _agent, _stream, _component, length, data, _user):
        tell("data", text=ctypes.string_at(data, length).decode(errors="replace"))


def refuse(why):
    """Ends the program from any thread."""
    print(f"libnice: not a command: {why}", file=sys.stderr, flush=True)
    os._exit(USAGE_ERROR)


def parse(line):
    """A command: an object with the member "do"."""
    try:
        command = json.loads(line)
    except ValueError as error:
        refuse(error)
    if not isinstance(command, dict) or not isinstance(command.get("do"), str):
        refuse('an object with the member "do" is expected')
    return command


def main():
    loop = GLib.MainLoop()
    peer = None

    def obey(command):
        nonlocal peer
        if (peer is None) != (command["do"] == "start"):
            refuse('"start" is the first command, and only the first')
        if peer is None:
            try:
                peer = Peer(command)
            except KeyError as missing:
                refuse(f"{missing} is missing")
        else:
            peer.obey(command)
        return GLib.SOURCE_REMOVE

    def read():
        for line in sys.stdin:
            GLib.idle_add(obey, parse(line))
        GLib.idle_add(loop.quit)

    # An exception in a callback would otherwise only be printed.
    sys.excepthook = lambda *what: (sys.__excepthook__(*what), os._exit(1))
    threading.Thread(target=read, daemon=True).start()
    loop.run()


main()
