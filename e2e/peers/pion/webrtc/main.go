// Pion's peer connection, and with it Pion's SCTP, behind the commands of e2e/peers/data-peer.js,
// which come on its standard input; events go to its standard output, a JSON object a line. At a
// line that is no command it ends with one sentence on its standard error and exit code 2.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/pion/webrtc/v4"
)

const (
	room       = 1 << 20  // bytes that may wait on a channel
	orders     = 64       // orders for one channel that may wait for each other
	listed     = 500      // messages whose own digests are reported, too
	longest    = 4 << 20  // bytes of the longest message that is ever sent
	maxMessage = 1 << 20  // bytes of the longest message that is taken
	lineLength = 64 << 20 // bytes of the longest line
	usageError = 2        // the exit code for a line that is no command

	// The protocol of channels whose messages are counted without a digest, which would be what is
	// measured.
	counted = "counted"
)

type command struct {
	Do                string
	Label             string
	Type              string
	SDP               string
	Ordered           *bool
	MaxPacketLifeTime *uint16
	MaxRetransmits    *uint16
	Protocol          string
	ID                *uint16
	Count             uint32
	Size              int
	Text              *string
	Messages          uint64
}

type event map[string]any

var output sync.Mutex

func report(one event) {
	line, err := json.Marshal(one)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

// tally is what was sent or received on a channel.
type tally struct {
	messages, bytes uint64
	digest          [sha256.Size]byte
	each            []string
	last            int64
	ordered         bool
	counted         bool // without digests
}

func newTally(channel *webrtc.DataChannel) tally {
	return tally{each: []string{}, last: -1, ordered: true, counted: channel.Protocol() == counted}
}

func (t *tally) take(message []byte) {
	t.messages++
	t.bytes += uint64(len(message))
	if len(message) >= 4 {
		number := int64(binary.BigEndian.Uint32(message))
		t.ordered = t.ordered && t.last < number
		t.last = number
	}
	if t.counted {
		return
	}
	digest := sha256.Sum256(message)
	for at, own := range digest {
		t.digest[at] ^= own
	}
	if len(t.each) <= listed {
		t.each = append(t.each, hex.EncodeToString(digest[:8]))
	}
}

func (t *tally) report(kind, label string) {
	var each []string
	if len(t.each) <= listed {
		each = t.each
	}
	report(event{
		"event": kind, "label": label, "messages": t.messages, "bytes": t.bytes,
		"digest": hex.EncodeToString(t.digest[:]), "ordered": t.ordered, "each": each,
	})
}

// attended is a channel, and what is sent and received on it.
type attended struct {
	channel *webrtc.DataChannel
	orders  chan command
	low     chan struct{}

	mutex    sync.Mutex
	received tally
	expected *uint64
}

type peer struct {
	connection *webrtc.PeerConnection
	pattern    []byte

	mutex    sync.Mutex
	channels map[string]*attended
	before   uint64
}

func newPeer() (*peer, error) {
	settings := webrtc.SettingEngine{}
	settings.SetSCTPMaxMessageSize(maxMessage)
	connection, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	p := &peer{connection: connection, pattern: make([]byte, longest+1<<16), channels: map[string]*attended{}}
	state := uint32(1)
	for at := range p.pattern {
		state = state*1664525 + 1013904223
		p.pattern[at] = byte(state >> 24)
	}
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		report(event{"event": "state", "state": state.String()})
	})
	connection.OnDataChannel(p.attend)
	return p, nil
}

func (p *peer) obey(c command) error {
	switch c.Do {
	case "offer":
		offer, err := p.connection.CreateOffer(nil)
		if err != nil {
			return err
		}
		return p.describe(offer)
	case "setRemote":
		description := webrtc.SessionDescription{Type: webrtc.NewSDPType(c.Type), SDP: c.SDP}
		if err := p.connection.SetRemoteDescription(description); err != nil || c.Type != "offer" {
			return err
		}
		answer, err := p.connection.CreateAnswer(nil)
		if err != nil {
			return err
		}
		return p.describe(answer)
	case "open":
		return p.open(c)
	case "end":
		return p.connection.Close()
	case "send", "expect", "close":
	default:
		refuse(fmt.Errorf("there is no command %q", c.Do))
	}
	p.mutex.Lock()
	a := p.channels[c.Label]
	p.mutex.Unlock()
	if a == nil {
		return fmt.Errorf("%s: there is no channel %s", c.Do, c.Label)
	}
	switch c.Do {
	case "send":
		a.orders <- c
	case "expect":
		a.mutex.Lock()
		defer a.mutex.Unlock()
		a.expected = &c.Messages
		a.reportReceived()
	case "close":
		return a.channel.Close()
	}
	return nil
}

// describe tells a description as soon as all candidates are in it.
func (p *peer) describe(description webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(p.connection)
	if err := p.connection.SetLocalDescription(description); err != nil {
		return err
	}
	<-gathered
	whole := p.connection.LocalDescription()
	report(event{"event": "description", "type": whole.Type.String(), "sdp": whole.SDP})
	return nil
}

func (p *peer) open(c command) error {
	init := webrtc.DataChannelInit{
		Ordered: c.Ordered, MaxPacketLifeTime: c.MaxPacketLifeTime, MaxRetransmits: c.MaxRetransmits,
		Protocol: &c.Protocol, ID: c.ID,
	}
	if c.ID != nil {
		negotiated := true
		init.Negotiated = &negotiated
	}
	channel, err := p.connection.CreateDataChannel(c.Label, &init)
	if err == nil {
		p.attend(channel)
	}
	return err
}

func (p *peer) attend(channel *webrtc.DataChannel) {
	label := channel.Label()
	a := &attended{channel: channel, orders: make(chan command, orders), low: make(chan struct{}, 1), received: newTally(channel)}
	p.mutex.Lock()
	p.channels[label] = a
	p.mutex.Unlock()
	channel.SetBufferedAmountLowThreshold(room / 2)
	channel.OnBufferedAmountLow(func() {
		select {
		case a.low <- struct{}{}:
		default:
		}
	})
	channel.OnMessage(func(message webrtc.DataChannelMessage) { p.hear(a, message) })
	channel.OnClose(func() { report(event{"event": "closed", "label": label, "error": nil}) })
	channel.OnOpen(func() {
		report(event{
			"event": "open", "label": label, "id": channel.ID(), "ordered": channel.Ordered(),
			"maxPacketLifeTime": channel.MaxPacketLifeTime(), "maxRetransmits": channel.MaxRetransmits(),
			"protocol": channel.Protocol(), "negotiated": channel.Negotiated(),
		})
	})
	go p.speak(a)
}

func (p *peer) hear(a *attended, message webrtc.DataChannelMessage) {
	p.mutex.Lock()
	before := p.before
	if !message.IsString {
		p.before += uint64(len(message.Data))
	}
	p.mutex.Unlock()
	if message.IsString {
		report(event{"event": "message", "label": a.channel.Label(), "text": string(message.Data), "before": before})
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.received.take(message.Data)
	a.reportReceived()
}

// reportReceived is called with the mutex held.
func (a *attended) reportReceived() {
	if a.expected != nil && *a.expected <= a.received.messages {
		a.expected = nil
		a.received.report("received", a.channel.Label())
	}
}

// speak says what is ordered, one after the other.
func (p *peer) speak(a *attended) {
	sent := newTally(a.channel)
	number := uint32(0)
	for order := range a.orders {
		var err error
		if order.Text != nil {
			err = a.channel.SendText(*order.Text)
		}
		for left := order.Count; left > 0 && err == nil; left-- {
			for a.channel.BufferedAmount() > room {
				<-a.low
			}
			start := number * 257 % (1 << 16)
			message := append([]byte{}, p.pattern[start:int(start)+order.Size]...)
			if len(message) >= 4 {
				binary.BigEndian.PutUint32(message, number)
			}
			number++
			sent.take(message)
			err = a.channel.Send(message)
		}
		if err != nil {
			report(event{"event": "unsent", "label": a.channel.Label(), "message": err.Error()})
		} else {
			sent.report("sent", a.channel.Label())
		}
	}
}

func refuse(err error) {
	fmt.Fprintln(os.Stderr, "pion: not a command:", err)
	os.Exit(usageError)
}

func main() {
	p, err := newPeer()
	if err != nil {
		report(event{"event": "error", "message": err.Error()})
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineLength)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			refuse(err)
		} else if c.Do == "" {
			refuse(errors.New(`an object with the member "do" is expected`))
		}
		if err := p.obey(c); err != nil {
			report(event{"event": "error", "message": err.Error()})
		}
	}
}
