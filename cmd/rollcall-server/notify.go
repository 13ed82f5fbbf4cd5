package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// notifier tells systemd how the service is doing, as sd_notify(3) and
// sd_watchdog_enabled(3) describe. Without NOTIFY_SOCKET it says nothing.
type notifier struct {
	socket string
	every  time.Duration // between two signs of life; 0: none are wanted
}

// notifierOf reads what systemd has put into the environment.
func notifierOf(getenv func(string) string) notifier {
	n := notifier{socket: getenv("NOTIFY_SOCKET")}
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		n.every = time.Duration(us) * time.Microsecond / 2
	}
	return n
}

// say sends one word: READY=1, WATCHDOG=1, STOPPING=1.
func (n notifier) say(word string) error {
	if n.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(word)); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// live gives signs of life until ctx ends, as long as alive says so. systemd ends
// and starts a server again that gives none.
func (n notifier) live(ctx context.Context, alive func(context.Context) error, trouble func(error)) {
	if n.socket == "" || n.every <= 0 {
		return
	}
	t := time.NewTicker(n.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			err := alive(ctx)
			if err == nil {
				err = n.say("WATCHDOG=1")
			}
			if err != nil && ctx.Err() == nil {
				trouble(err)
			}
		}
	}
}
