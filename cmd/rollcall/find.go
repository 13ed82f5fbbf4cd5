package main

import (
	"strings"

	"github.com/spf13/cobra"

	"rollcall/cmd/internal/cmdline"
)

func (a *app) findCommand() *cobra.Command {
	var l listing
	c := &cobra.Command{
		Use:   "find FILTER",
		Short: "Find the CIs that a filter selects",
		Long: `Finds the CIs that a filter selects: as a table, as names alone with --names (for
other programs), or as JSON in the shape of 'rollcall ci list'.

A filter compares fields (name, site, class, status, presence, mac, ip, serial,
os, model …), packages, files and changes, joined by and, or, not and brackets:

  class = workstation and site = elm/*
  pkg(cups) < 2.4.2-3+deb12u8          versions are ordered as dpkg orders them
  not file(/etc/cups/client.conf)      the machine has no such file
  changed(etc/cups) < 7d               changed in the last seven days

Quote it for the shell. docs/filter.md tells the whole language.`,
		Example: `  rollcall find 'class = workstation and pkg(cups) < 2.4.2-3+deb12u8'
  rollcall find 'mac = 52:54:00:12:34:56'
  rollcall find 'presence = silent' --names`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			l.filter = strings.TrimSpace(words(args))
			if l.filter == "" {
				return cmdline.Hinted(cmdline.Usagef("find: FILTER is missing"), "'rollcall ci list' lists all CIs")
			}
			return a.list(c.Context(), l)
		},
	}
	l.flags(c)
	return c
}
