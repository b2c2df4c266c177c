// Pion's ICE agent, commanded as e2e/peers/ice is: one JSON object a line, commands in, reports
// out. It ends with its standard input; at a line that is no command, with one sentence on its
// standard error and exit code 2.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
)

// usageError is the exit code for a line that is no command.
const usageError = 2

type server struct {
	Kind       string `json:"kind"`
	Host       string `json:"host"`
	Port       int    `json:"port"`
	Transport  string `json:"transport"`
	Username   string `json:"username"`
	Credential string `json:"credential"`
}

type command struct {
	Do string `json:"do"`

	// start
	Role              string   `json:"role"`
	Lite              bool     `json:"lite"`
	Addresses         []string `json:"addresses"`
	Servers           []server `json:"servers"`
	RelayOnly         bool     `json:"relayOnly"`
	TCP               bool     `json:"tcp"`
	DisconnectedAfter int      `json:"disconnectedAfter"`
	FailedAfter       int      `json:"failedAfter"`

	// remote; lite as above
	Ufrag string `json:"ufrag"`
	Pwd   string `json:"pwd"`

	// candidate
	Line string `json:"line"`
	// send
	Text string `json:"text"`
	// renominate: the addresses of the pair
	Local  string `json:"local"`
	Remote string `json:"remote"`
}

type report map[string]any

var output sync.Mutex

func emit(line report) {
	output.Lock()
	defer output.Unlock()
	bytes, err := json.Marshal(line)
	if err == nil {
		fmt.Println(string(bytes))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func refuse(err error) {
	fmt.Fprintln(os.Stderr, "pion: not a command:", err)
	os.Exit(usageError)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	var one *peer
	for lines.Scan() {
		var wanted command
		if err := json.Unmarshal(lines.Bytes(), &wanted); err != nil {
			refuse(err)
		} else if wanted.Do == "" {
			refuse(errors.New(`an object with the member "do" is expected`))
		}
		if (one == nil) != (wanted.Do == "start") {
			refuse(errors.New(`"start" is the first command, and only the first`))
		} else if one == nil {
			one = start(wanted)
		} else {
			must(one.obey(wanted))
		}
	}
}

type peer struct {
	agent *ice.Agent
	role  string
	lite  bool
	conn  *ice.Conn
}

func start(wanted command) *peer {
	agent, err := ice.NewAgentWithOptions(options(wanted)...)
	must(err)
	one := &peer{agent: agent, role: wanted.Role, lite: wanted.Lite}
	must(agent.OnCandidate(func(found ice.Candidate) {
		if found == nil {
			emit(report{"event": "gathered"})
		} else {
			emit(report{"event": "candidate", "line": "candidate:" + found.Marshal()})
		}
	}))
	must(agent.OnConnectionStateChange(func(state ice.ConnectionState) {
		emit(report{"event": "state", "state": words[state]})
	}))
	must(agent.OnSelectedCandidatePairChange(func(local, remote ice.Candidate) {
		emit(report{
			"event": "pair", "local": local.Type().String(), "remote": remote.Type().String(),
			"from": place(local), "to": place(remote), "protocol": local.NetworkType().NetworkShort(),
		})
	}))
	one.introduce()
	return one
}

func options(wanted command) []ice.AgentOption {
	logs := logging.NewDefaultLoggerFactory()
	logs.Writer = os.Stderr
	given := []ice.AgentOption{
		ice.WithLoggerFactory(logs),
		ice.WithNetworkTypes(networkTypes(wanted)),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
		ice.WithIncludeLoopback(),
		ice.WithIPFilter(func(ip net.IP) bool { return slices.Contains(wanted.Addresses, ip.String()) }),
		ice.WithUrls(urls(wanted.Servers)),
	}
	if wanted.Lite {
		given = append(given, ice.WithICELite(true), ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}))
	} else {
		given = append(given, ice.WithRenomination(ice.DefaultNominationValueGenerator()))
	}
	if wanted.TCP {
		// Its only listener: Pion's host candidates of TCP have this port.
		listener, err := net.Listen("tcp4", net.JoinHostPort(wanted.Addresses[0], "0"))
		must(err)
		given = append(given, ice.WithTCPMux(ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: listener, Logger: logs.NewLogger("ice"), ReadBufferSize: 64, WriteBufferSize: 1 << 20,
		})))
	}
	if wanted.RelayOnly {
		given = append(given, ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeRelay}))
	}
	if wanted.DisconnectedAfter > 0 {
		given = append(given, ice.WithDisconnectedTimeout(time.Duration(wanted.DisconnectedAfter)*time.Millisecond))
	}
	if wanted.FailedAfter > 0 {
		given = append(given, ice.WithFailedTimeout(time.Duration(wanted.FailedAfter)*time.Millisecond))
	}
	return given
}

// networkTypes are those of the host's addresses.
func networkTypes(wanted command) []ice.NetworkType {
	var all []ice.NetworkType
	isIPv6 := func(address string) bool { return net.ParseIP(address).To4() == nil }
	if slices.ContainsFunc(wanted.Addresses, isIPv6) {
		all = append(all, ice.NetworkTypeUDP6)
	}
	if slices.ContainsFunc(wanted.Addresses, func(address string) bool { return !isIPv6(address) }) {
		all = append(all, ice.NetworkTypeUDP4)
	}
	if wanted.TCP {
		all = append(all, ice.NetworkTypeTCP4)
	}
	return all
}

func urls(servers []server) []*stun.URI {
	var all []*stun.URI
	for _, one := range servers {
		uri := &stun.URI{
			Scheme: stun.SchemeTypeSTUN, Host: one.Host, Port: one.Port, Proto: stun.ProtoTypeUDP,
			Username: one.Username, Password: one.Credential,
		}
		if one.Kind == "turn" {
			uri.Scheme = stun.SchemeTypeTURN
		}
		if one.Transport == "tls" {
			uri.Scheme = stun.SchemeTypeTURNS
		}
		if one.Transport != "udp" && one.Transport != "" {
			uri.Proto = stun.ProtoTypeTCP
		}
		all = append(all, uri)
	}
	return all
}

// introduce tells the credentials of a generation, and begins to gather for it.
func (one *peer) introduce() {
	ufrag, pwd, err := one.agent.GetLocalUserCredentials()
	must(err)
	emit(report{"event": "credentials", "ufrag": ufrag, "pwd": pwd, "lite": one.lite})
	must(one.agent.GatherCandidates())
}

func (one *peer) obey(wanted command) error {
	switch wanted.Do {
	case "remote":
		return one.connect(wanted)
	case "candidate":
		candidate, err := ice.UnmarshalCandidate(wanted.Line)
		if err != nil {
			return err
		}
		return one.agent.AddRemoteCandidate(candidate)
	case "end":
		return nil
	case "send":
		// Without a pair the datagram is lost, as on a network.
		_, _ = one.conn.Write([]byte(wanted.Text))
		return nil
	case "restart":
		if err := one.agent.Restart("", ""); err != nil {
			return err
		}
		one.introduce()
		return nil
	case "renominate":
		return one.renominate(wanted.Local, wanted.Remote)
	case "close":
		return one.agent.Close()
	}
	refuse(fmt.Errorf("there is no command %q", wanted.Do))
	return nil
}

// connect begins to check, or goes on after a restart.
func (one *peer) connect(remote command) error {
	if err := one.agent.SetRemoteICELite(remote.Lite); err != nil {
		return err
	}
	if one.conn != nil {
		return one.agent.SetRemoteCredentials(remote.Ufrag, remote.Pwd)
	}
	begin := one.agent.StartAccept
	if one.role == "controlling" {
		begin = one.agent.StartDial
	}
	conn, err := begin(remote.Ufrag, remote.Pwd)
	if err != nil {
		return err
	}
	one.conn = conn
	go one.listen()
	return nil
}

func (one *peer) listen() {
	buffer := make([]byte, 64<<10)
	for {
		length, err := one.conn.Read(buffer)
		if err != nil {
			return
		}
		emit(report{"event": "data", "text": string(buffer[:length])})
	}
}

// renominate nominates the pair of these two IP addresses, for datagrams.
func (one *peer) renominate(local, remote string) error {
	locals, err := one.agent.GetLocalCandidates()
	if err != nil {
		return err
	}
	remotes, err := one.agent.GetRemoteCandidates()
	if err != nil {
		return err
	}
	for _, ours := range locals {
		for _, theirs := range remotes {
			datagrams := ours.NetworkType().IsUDP() && theirs.NetworkType().IsUDP()
			if datagrams && ours.Address() == local && theirs.Address() == remote {
				return one.agent.RenominateCandidate(ours, theirs)
			}
		}
	}
	return fmt.Errorf("there is no pair of %s and %s", local, remote)
}

func place(candidate ice.Candidate) string {
	return net.JoinHostPort(candidate.Address(), fmt.Sprint(candidate.Port()))
}

// The W3C's words.
var words = map[ice.ConnectionState]string{
	ice.ConnectionStateNew:          "new",
	ice.ConnectionStateChecking:     "checking",
	ice.ConnectionStateConnected:    "connected",
	ice.ConnectionStateCompleted:    "completed",
	ice.ConnectionStateFailed:       "failed",
	ice.ConnectionStateDisconnected: "disconnected",
	ice.ConnectionStateClosed:       "closed",
}
