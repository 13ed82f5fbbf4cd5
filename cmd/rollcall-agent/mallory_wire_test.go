package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"rollcall/internal/fact"
	rollcallv1 "rollcall/proto/rollcall/v1"
)

// wireActs are what mallory does below gRPC.
var wireActs = []string{"wire: close", "wire: no TLS", "wire: garbage", "wire: flood of pings", "wire: endless headers", "wire: giant frame", "wire: silence"}

// wire hands connections to gRPC, or spoils them.
type wire struct {
	net.Listener
	m    *mallory
	tls  *tls.Config
	busy sync.WaitGroup
}

func (w *wire) wait() { w.busy.Wait() }

// Accept returns the next connection that mallory does not want for herself.
func (w *wire) Accept() (net.Conn, error) {
	for {
		c, err := w.Listener.Accept()
		if err != nil {
			return nil, err
		}
		w.m.mu.Lock()
		act := w.m.act
		if act == "anything" && w.m.rnd.IntN(10) == 0 {
			act = wireActs[w.m.rnd.IntN(len(wireActs))]
		}
		w.m.mu.Unlock()
		if len(act) < 6 || act[:6] != "wire: " {
			return c, nil
		}
		w.m.doing("connection", []string{act})
		w.busy.Go(func() { w.spoil(c, act) })
	}
}

// spoil speaks TLS with the right key, and then nonsense, for a second at most.
func (w *wire) spoil(c net.Conn, act string) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return
	}
	switch act {
	case "wire: close":
		return
	case "wire: no TLS":
		_, _ = c.Write(w.m.noise(100_000)) // the agent may have gone
		return
	}
	s := tls.Server(c, w.tls)
	if s.Handshake() != nil {
		return
	}
	// Frames of HTTP/2 are length (24 bits), type, flags, stream (RFC 9113, 4.1).
	frame := func(length uint32, kind, flags byte, stream uint32, payload []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, length<<8|uint32(kind))
		return append(binary.BigEndian.AppendUint32(append(b, flags), stream), payload...)
	}
	settings := frame(0, 4, 0, 0, nil)
	write := func(b []byte, times int) {
		for range times {
			if _, err := s.Write(b); err != nil {
				return
			}
		}
	}
	switch act {
	case "wire: garbage":
		write(w.m.noise(64<<10), 16)
	case "wire: flood of pings":
		write(settings, 1)
		write(frame(8, 6, 0, 0, make([]byte, 8)), 200_000)
	case "wire: endless headers":
		write(settings, 1)
		write(frame(1, 1, 0, 1, []byte{0x88}), 1) // :status 200, not the end of the headers
		write(frame(16000, 9, 0, 1, w.m.noise(16000)), 5000)
	case "wire: giant frame":
		write(settings, 1)
		write(frame(1<<24-1, 0, 0, 1, w.m.noise(1<<20)), 16)
	case "wire: silence":
		time.Sleep(w.m.hang)
	}
}

// hostileFiles are what a manifest tries to put elsewhere. Facts do not forbid
// such paths; whoever makes files of them must.
func (m *mallory) hostileFiles(content []byte) fact.Set {
	plain := fact.File{Kind: fact.KindPlain, Digest: sha256.Sum256(content), Mode: 0o6755, Owner: "root", Group: "root"}.String()
	link := func(to string) string {
		return fact.File{Kind: fact.KindLink, Target: to, Mode: 0o777, Owner: "root", Group: "root"}.String()
	}
	dir := fact.File{Kind: fact.KindDir, Mode: 0o755, Owner: "root", Group: "root"}.String()
	all := []fact.Fact{
		{Path: "etc/../owned", Value: plain},
		{Path: "etc/../../outside/owned", Value: plain},
		{Path: "etc//tmp/owned", Value: plain},
		{Path: "etc/./owned", Value: plain},
		{Path: "etc/a/../../owned", Value: plain},
		{Path: "etc/..", Value: dir},
		{Path: "etc/../outside", Value: dir},
		{Path: "etc/out", Value: link("../outside")},
		{Path: "etc/out/owned", Value: plain},
		{Path: "etc/abs", Value: link("/tmp")},
		{Path: "etc/abs/rollcall-owned", Value: plain},
		{Path: "etc/motd", Value: plain},
		{Path: "etc/motd/below", Value: plain},
		{Path: "etc/%2e%2e/owned", Value: plain},
		{Path: "etc/loop", Value: link("loop")},
		{Path: "etc/loop/owned", Value: plain},
		{Path: "etc/fine", Value: plain},
		{Path: "etc/hosts", Value: plain},
		{Path: "etc/secret", Value: link("../../outside/secret")},
	}
	var some []fact.Fact
	for _, f := range all {
		if m.random(3) > 0 {
			some = append(some, f)
		}
	}
	return fact.NewSet(some)
}

var hostileContent = []byte("#!/bin/sh\nreboot\n")

func (m *mallory) Manifest(context.Context, *rollcallv1.ManifestRequest) (*rollcallv1.ManifestReply, error) {
	r := &rollcallv1.ManifestReply{Ci: nasty, Name: nasty, Report: nasty, RecordedMs: 1 << 62, Revision: 1 << 63}
	switch m.doing("manifest", []string{"", "", "", "noise", "error", "section", "unsorted"}) {
	case "noise":
		r.Sets = [][]byte{m.noise(1000)}
	case "error":
		return nil, m.fault()
	case "section":
		r.Sets = [][]byte{fact.NewSet([]fact.Fact{{Path: "pkg/cups/version", Value: "1"}}).Encode()}
	case "unsorted":
		r.Sets = [][]byte{fact.Set{{Path: "etc/b", Value: "dir 0755 root:root"}, {Path: "etc/../a", Value: "dir 0755 root:root"}}.Encode()}
	default:
		r.Sets = [][]byte{m.hostileFiles(hostileContent).Encode()}
	}
	return r, nil
}

func (m *mallory) Content(req *rollcallv1.ContentRequest, st grpc.ServerStreamingServer[rollcallv1.ContentReply]) error {
	sum := sha256.Sum256(hostileContent)
	good := &rollcallv1.ContentReply{Digest: sum[:], Size: uint64(len(hostileContent)), Data: hostileContent}
	switch m.doing("content", []string{"", "", "", "another", "size", "short", "error", "without end"}) {
	case "another":
		good.Data = []byte("rm -rf /\n12345678")
	case "size":
		good.Size = 1 << 62
	case "short":
		good.Size++
	case "error":
		return m.fault()
	case "without end":
		for range 20_000 {
			if err := st.Send(good); err != nil {
				return err
			}
		}
	}
	if len(req.GetDigests()) == 0 {
		return nil
	}
	return st.Send(good)
}
