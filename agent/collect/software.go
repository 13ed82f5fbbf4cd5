package collect

// software lists the collectors of installed software and its configuration.
func software() []Collector {
	return []Collector{
		operatingSystem(),
		kernel(),
		reboot(),
		dpkg(),
		apt(),
		upgrades(),
		packageHistory(),
		units(),
		ports(),
		accounts(),
		sshKeys(),
		settings(),
		printers(),
		flatpaks(),
		snaps(),
		languagePackages(),
		localSoftware(),
		crontabs(),
		certificates(),
		antivirus(),
		backups(),
		timeSync(),
		firewall(),
		apparmor(),
		guests(),
		dhcpClients(),
		clients(),
		verify(),
	}
}
