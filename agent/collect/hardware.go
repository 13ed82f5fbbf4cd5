package collect

// hardware lists the collectors of identity and hardware.
func hardware() []Collector {
	return []Collector{
		machineID(),
		hostname(),
		dmi(),
		virtual(),
		boot(),
		edu(),
		smbiosTables(),
		processor(),
		memory(),
		network(),
		pci(),
		usb(),
		disk(),
		raid(),
		volume(),
		volumeGroups(),
		smart(),
		filesystems(),
		monitor(),
		gpu(),
		battery(),
		firmware(),
		sensors(),
		memoryErrors(),
		sessions(),
		loads(),
	}
}
