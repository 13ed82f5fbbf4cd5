package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// systemBus is the socket of the system's message bus. The environment's
// DBUS_SYSTEM_BUS_ADDRESS does not count: it may lead anywhere.
const systemBus = "unix:path=/run/dbus/system_bus_socket"

// unitStatus is one element of what ListUnits gives (org.freedesktop.systemd1(5)).
type unitStatus struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	JobID                                           uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// failedUnits asks systemd which units have failed: one connection, one call,
// five seconds. A machine without a bus or without systemd on it has none.
func failedUnits(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dbus.Dial(systemBus, dbus.WithContext(ctx))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask systemd for failed units: %w", err)
	}
	defer conn.Close()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		return nil, fmt.Errorf("ask systemd for failed units: %w", err)
	}
	if err := conn.Hello(); err != nil {
		return nil, fmt.Errorf("ask systemd for failed units: %w", err)
	}
	var list []unitStatus
	call := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.systemd1.Manager.ListUnitsFiltered", dbus.FlagNoAutoStart, []string{"failed"})
	err = call.Store(&list)
	if refused := new(dbus.Error); errors.As(err, refused) && refused.Name == "org.freedesktop.DBus.Error.NameHasNoOwner" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask systemd for failed units: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, u := range list {
		names = append(names, u.Name)
	}
	return names, nil
}
