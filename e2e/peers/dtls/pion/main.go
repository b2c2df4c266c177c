// A DTLS peer around Pion's library. It takes the arguments of the peers in C, and does the same:
// see c/peer.h.
package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
)

const (
	flightInterval = 200 * time.Millisecond
	longestMessage = 4096
	goodbye        = "bye"
)

func report(event string, rest string) {
	fmt.Printf("{\"event\":%q%s}\n", event, rest)
}

func check(what string, err error) {
	if err != nil {
		report("error", fmt.Sprintf(",\"message\":%q", what+": "+err.Error()))
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "the arguments are: client|server PORT PEM [mtu=BYTES] [ems=off]")
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[2])
	check("port", err)
	certificate, err := tls.LoadX509KeyPair(os.Args[3], os.Args[3])
	check("certificate", err)
	config := &dtls.Config{
		Certificates:         []tls.Certificate{certificate},
		ClientAuth:           dtls.RequireAnyClientCert,
		InsecureSkipVerify:   true,
		ExtendedMasterSecret: dtls.RequireExtendedMasterSecret,
		FlightInterval:       flightInterval,
	}
	for _, option := range os.Args[4:] {
		if bytes, found := strings.CutPrefix(option, "mtu="); found {
			config.MTU, err = strconv.Atoi(bytes)
			check("mtu", err)
		} else if option == "ems=off" {
			config.ExtendedMasterSecret = dtls.DisableExtendedMasterSecret
		}
	}
	address := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	conn := open(os.Args[1] == "server", address, config)
	check("handshake", conn.Handshake())
	state, _ := conn.ConnectionState()
	report("connected", fmt.Sprintf(",\"version\":\"DTLS 1.2\",\"cipher\":%q", dtls.CipherSuiteName(state.CipherSuiteID)))
	echo(conn)
}

func open(isServer bool, address *net.UDPAddr, config *dtls.Config) *dtls.Conn {
	if !isServer {
		conn, err := dtls.Dial("udp", address, config)
		check("dial", err)
		return conn
	}
	listener, err := dtls.Listen("udp", address, config)
	check("listen", err)
	report("ready", "")
	conn, err := listener.Accept()
	check("accept", err)
	return conn.(*dtls.Conn)
}

func echo(conn *dtls.Conn) {
	buffer := make([]byte, longestMessage)
	for {
		length, err := conn.Read(buffer)
		if errors.Is(err, io.EOF) {
			report("closed", "")
			return
		}
		check("read", err)
		_, err = conn.Write(buffer[:length])
		check("write", err)
		if string(buffer[:length]) == goodbye {
			check("close", conn.Close())
			return
		}
	}
}
