package collect

import (
	"context"
	"strings"
)

func gpu() Collector {
	return Collector{Name: "gpu", Owns: []string{"hw/gpu/"}, Collect: collectGPU}
}

// collectGPU reads the version of Nvidia's own kernel module, which neither the
// package list nor the PCI ids tell for sure. Graphics cards, sound and cameras
// themselves are among the PCI and USB devices.
func collectGPU(_ context.Context, h Host, s *Sink) error {
	line, err := h.ReadLine("proc/driver/nvidia/version")
	if err != nil {
		return err
	}
	s.Fact("hw/gpu/nvidia", nvidiaVersion(line))
	return nil
}

// nvidiaVersion finds the version in "NVRM version: NVIDIA UNIX x86_64 Kernel
// Module  535.183.01  Sun May 12 …".
func nvidiaVersion(line string) string {
	for w := range strings.FieldsSeq(line) {
		if strings.Contains(w, ".") && strings.Trim(w, "0123456789.") == "" {
			return w
		}
	}
	return ""
}
