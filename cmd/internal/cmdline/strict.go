package cmdline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Strict makes every mistake in a command line an error of usage with a hint,
// and a group without a command one too: nobody should take a list of commands
// for an answer. It is called once, when the tree is complete.
func Strict(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return Hinted(Usage(flagError(err)), "see '%s --help'", c.CommandPath())
	})
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			return Hinted(Usage(check(c, args)), "%s", c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		Strict(sub)
	}
	if !c.HasSubCommands() {
		return
	}
	c.Use += " COMMAND"
	c.DisableFlagsInUseLine = true
	c.Args = cobra.ArbitraryArgs
	c.SuggestionsMinimumDistance = 2
	c.RunE = which
	plainUsage(c)
}

// plainUsage leaves "PATH [command]" out of a group's usage, which its first line
// says already. A usage template of our own would do it too, but bring
// text/template, and 2.5 MB with it, into the agent.
func plainUsage(c *cobra.Command) {
	usage := c.UsageFunc()
	c.SetUsageFunc(func(c *cobra.Command) error {
		w := c.OutOrStderr()
		var b bytes.Buffer
		c.SetOut(&b)
		err := usage(c)
		c.SetOut(w)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, strings.Replace(b.String(), "\n  "+c.CommandPath()+" [command]\n", "\n", 1))
		return err
	})
}

// flagError says what a flag wants instead of which function did not like it.
func flagError(err error) error {
	bad, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return err
	}
	what, _, _ := strings.Cut(err.Error(), ": strconv.")
	switch {
	case bad.Func == "ParseBool":
		return fmt.Errorf("%s: want true or false", what)
	case errors.Is(bad, strconv.ErrRange):
		return fmt.Errorf("%s: too large a number", what)
	}
	return fmt.Errorf("%s: want a whole number", what)
}

// which answers a group that was called without one of its commands.
func which(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return Hinted(Usagef("%swhich command? %s", About(c), strings.Join(names(c), ", ")), "see '%s --help'", c.CommandPath())
	}
	err := Usagef("%sthere is no command %q", About(c), args[0])
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		return Hinted(err, "did you mean '%s %s'?", c.CommandPath(), like[0])
	}
	return Hinted(err, "there are: %s", strings.Join(names(c), ", "))
}

// About begins an error with the command that it is about: "ci show: ".
func About(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	if path != "" {
		path += ": "
	}
	return path
}

func names(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	return names
}

// Exactly takes one argument for each name, which an error calls it by.
func Exactly(what ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(what):
			return fmt.Errorf("%s%s is missing", About(c), what[len(args)])
		case len(args) > len(what):
			return fmt.Errorf("%swhat is %q for?", About(c), args[len(what)])
		}
		return nil
	}
}

// AtMost is like Exactly, but arguments may be missing.
func AtMost(what ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > len(what) {
			return fmt.Errorf("%swhat is %q for?", About(c), args[len(what)])
		}
		return nil
	}
}
