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

// failedUnits asks systemd which units have failed. A machine without systemd on
// its bus has none.
func failedUnits(ctx context.Context) ([]string, error) {
	var list []unitStatus
	err := askBus(ctx, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.ListUnitsFiltered", &list, []string{"failed"})
	if err != nil {
		return nil, fmt.Errorf("ask systemd for failed units: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, u := range list {
		names = append(names, u.Name)
	}
	return names, nil
}

// managedObjects is what org.freedesktop.DBus.ObjectManager gives: properties by
// object and interface.
type managedObjects map[dbus.ObjectPath]map[string]map[string]dbus.Variant

// udisksDrives asks udisks what drives told it last. It looks at them every ten
// minutes and leaves those alone that sleep (udisks(8)).
func udisksDrives(ctx context.Context) ([]smartDrive, error) {
	var objects managedObjects
	err := askBus(ctx, "org.freedesktop.UDisks2", "/org/freedesktop/UDisks2", "org.freedesktop.DBus.ObjectManager.GetManagedObjects", &objects)
	if err != nil {
		return nil, fmt.Errorf("ask udisks for drives: %w", err)
	}
	return objects.drives(), nil
}

// askBus makes one call on the system's message bus: one connection, five seconds,
// and nobody is started to answer it. Without a bus, or if nobody has the name,
// into stays as it is.
func askBus(ctx context.Context, name string, object dbus.ObjectPath, method string, into any, arguments ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dbus.Dial(systemBus, dbus.WithContext(ctx))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil
	case err != nil:
		return err
	}
	defer conn.Close()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		return err
	}
	if err := conn.Hello(); err != nil {
		return err
	}
	err = conn.Object(name, object).CallWithContext(ctx, method, dbus.FlagNoAutoStart, arguments...).Store(into)
	if refused := new(dbus.Error); errors.As(err, refused) {
		switch refused.Name {
		case "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.ServiceUnknown":
			return nil
		}
	}
	return err
}

// drives picks the drives with a judgement of their own out of udisks' objects
// (storaged.org/doc/udisks2-api, Drive.Ata and, from 2.10 on, NVMe.Controller).
func (m managedObjects) drives() []smartDrive {
	var all []smartDrive
	for _, interfaces := range m {
		about := interfaces["org.freedesktop.UDisks2.Drive"]
		d := smartDrive{model: property[string](about, "Model"), serial: property[string](about, "Serial"), bad: -1}
		if d.model == "" || d.serial == "" {
			continue
		}
		if ata := interfaces["org.freedesktop.UDisks2.Drive.Ata"]; property[uint64](ata, "SmartUpdated") > 0 && property[bool](ata, "SmartEnabled") {
			d.failing = property[bool](ata, "SmartFailing")
			d.bad = property[int64](ata, "SmartNumBadSectors")
			d.selftest = property[string](ata, "SmartSelftestStatus")
			d.hours = property[uint64](ata, "SmartPowerOnSeconds") / 3600
			all = append(all, d)
		} else if nvme := interfaces["org.freedesktop.UDisks2.NVMe.Controller"]; property[uint64](nvme, "SmartUpdated") > 0 {
			d.reasons = property[[]string](nvme, "SmartCriticalWarning")
			d.selftest = property[string](nvme, "SmartSelftestStatus")
			d.hours = property[uint64](nvme, "SmartPowerOnHours")
			all = append(all, d)
		}
	}
	return all
}

// property gives a property that is of the right type, else the zero value.
func property[T any](properties map[string]dbus.Variant, name string) T {
	value, _ := properties[name].Value().(T)
	return value
}
