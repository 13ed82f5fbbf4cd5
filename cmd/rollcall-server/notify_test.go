package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestSystemdIsToldAboutTheService(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	lis, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	n := notifierOf(func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"}[key]
	})
	if n.every != 30*time.Second {
		t.Errorf("a sign of life every %s, want half a minute", n.every)
	}
	if err := n.say("READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if k, err := lis.Read(b); err != nil || string(b[:k]) != "READY=1" {
		t.Errorf("systemd hears %q, %v", b[:k], err)
	}
	if err := notifierOf(func(string) string { return "" }).say("READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}

func TestAServerThatDoesNotAnswerGivesNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
		defer stop()
		asked, troubles := 0, 0
		notifier{socket: "/nonexistent/notify", every: 30 * time.Second}.live(ctx, func(context.Context) error {
			asked++
			return errors.New("the store does not answer")
		}, func(error) { troubles++ })
		if asked != 3 || troubles != 3 {
			t.Errorf("asked %d times, %d troubles, want 3 and 3", asked, troubles)
		}
	})
}
