package main

import (
	"github.com/spf13/cobra"

	rollcallv1 "rollcall/proto/rollcall/v1"
)

func (a *app) ciCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ci",
		Short: "List, show and change configuration items (CIs)",
		Long: `A configuration item (CI) is whatever is under control: a server, a workstation, a
printer, a switch. Its facts come from its agent; its name, class, site, status
and whatever else you declare come from people.`,
		Example: `  rollcall ci list --site elm/north
  rollcall ci show room12-pc07`,
	}
	c.AddCommand(a.ciListCommand(), a.ciShowCommand(), a.ciHistoryCommand(), a.ciSetCommand(), a.ciEraseCommand(),
		a.ciSameCommand(), a.ciMergeCommand(), a.ciSplitCommand())
	return c
}

// itemJSON is one CI in every answer that names CIs.
type itemJSON struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Class    string `json:"class"`
	Site     string `json:"site"`
	Status   string `json:"status"`
	Presence string `json:"presence"`
	LastSeen msTime `json:"last_seen"`
	Changed  msTime `json:"changed"`
	Created  msTime `json:"created"`
	Revision uint64 `json:"revision"`
	OS       string `json:"os"`
	Model    string `json:"model"`
	Serial   string `json:"serial"`
	Cloned   bool   `json:"cloned"`
	Trust    string `json:"trust"`
}

func itemOf(i *rollcallv1.ItemSummary) itemJSON {
	return itemJSON{
		ID: i.GetId(), Name: i.GetName(), Class: i.GetClass(), Site: i.GetSite(), Status: i.GetStatus(), Presence: i.GetPresence(),
		LastSeen: msTime(i.GetLastSeenMs()), Changed: msTime(i.GetChangedMs()), Created: msTime(i.GetCreatedMs()),
		Revision: i.GetRevision(), OS: i.GetOs(), Model: i.GetModel(), Serial: i.GetSerial(), Cloned: i.GetCloned(), Trust: i.GetTrust(),
	}
}

// presenceStyle makes what needs a look stand out.
func presenceStyle(i *rollcallv1.ItemSummary) style {
	switch {
	case i.GetCloned():
		return red
	case i.GetPresence() == "silent":
		return yellow
	case i.GetPresence() == "live":
		return green
	}
	return plain
}

// presenceWords is presence, or what is more urgent.
func presenceWords(i *rollcallv1.ItemSummary) string {
	if i.GetCloned() {
		return "cloned"
	}
	return orDash(i.GetPresence())
}

// classWords is the class, with a mark where a machine only claims to be it.
func classWords(i *rollcallv1.ItemSummary) string {
	if i.GetTrust() == "T0" {
		return orDash(i.GetClass()) + " (T0)"
	}
	return orDash(i.GetClass())
}
