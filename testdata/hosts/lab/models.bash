# Sourced by ../unpack: the computer models of the lab, one function each. Names, firmware versions, PCI ids and MAC prefixes
# are those of the real models; serial numbers and UUIDs are made up from the machine's name.
#
# dimms: "MB MT/s MAKER PART" per filled slot; an underscore in MAKER is a space. disk: kernel name, model, firmware, sectors
# of 512 bytes, rotational. nic: name, driver, PCI address, vendor:device, subsystem. monitor: EDID vendor, product, name.
# usb: ids, release, maker, product.

intel_desktop() { # defaults of the four desktop models
	smbios=3.0 version='' family='' sku='' board_version='' tag='' chassis=3 ddr=26 dimm_form=9 dimm_slots=4 dimm_locator=DIMMN
	cpu_code=0xcd socket='U3E1' uefi=yes sata='0000:00:17.0 8086:a102' gpu='0000:00:02.0 8086:5912'
	usb=('046d:c31c 6402 Logitech USB Keyboard' '046d:c077 7200 Logitech USB Optical Mouse')
}

model_optiplex7050() {
	intel_desktop
	vendor='Dell Inc.' product='OptiPlex 7050' sku=07A1 family=OptiPlex board=062KRH board_version=A00
	bios_vendor='Dell Inc.' bios_version=1.27.0 bios_date=09/27/2023
	cpu='Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz' cpu_sig='6 158 9 0xf8' cpu_id=0x906e9 cores=4 threads=4 mhz=3400 mhz_max=8300
	dimms=('8192 2400 SK_Hynix HMA81GU6AFR8N-UH')
	disk='sda SAMSUNG_SSD_SM871_2.5_7mm_256GB EXT0200Q 500118192 0'
	nic='enp0s31f6 e1000e 0000:00:1f.6 8086:15e3 1028:07a1'
	monitor='DEL d0d9 DELL P2419H'
}

model_elitedesk800g3() {
	intel_desktop
	vendor=HP product='HP EliteDesk 800 G3 SFF' sku='1HK29EA#ABY' family='103C_53307F HP EliteDesk' board=82A1 board_version='KBC Version 06.28' chassis=4
	bios_vendor=HP bios_version='P01 Ver. 02.44' bios_date=06/27/2023
	cpu='Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz' cpu_sig='6 158 9 0xf8' cpu_id=0x906e9 cores=4 threads=4 mhz=3400 mhz_max=8300
	dimms=('8192 2400 Samsung M378A1K43CB2-CRC' '8192 2400 Samsung M378A1K43CB2-CRC')
	disk='sda WDC_WD5000AAKX-60U6AA0 18.01H18 976773168 1'
	nic='eno1 e1000e 0000:00:1f.6 8086:15b7 103c:82a1'
	monitor='HWP 3471 HP E243'
	usb=('03f0:094a 0100 CHICONY HP USB Keyboard' '03f0:134a 0100 PixArt HP USB Optical Mouse')
}

model_m710q() {
	intel_desktop
	vendor=LENOVO product=10MQS0VN00 version='ThinkCentre M710q' sku='LENOVO_MT_10MQ_BU_Think_FM_ThinkCentre M710q' family='ThinkCentre M710q'
	board=310A board_version='SDK0J40697 WIN 3305181519567' chassis=35 dimm_form=13 dimm_slots=2 dimm_locator='ChannelN-DIMM0'
	bios_vendor=LENOVO bios_version=M1AKT5AA bios_date=07/12/2023
	cpu='Intel(R) Core(TM) i5-6500T CPU @ 2.50GHz' cpu_sig='6 94 3 0xf0' cpu_id=0x506e3 cores=4 threads=4 mhz=2500 mhz_max=8300
	dimms=('8192 2133 Ramaxel_Technology RMSA3260ME78HAF-2666')
	disk='nvme0n1 SAMSUNG_MZVLW256HEHP-000L7 4L7QCXB7 500118192 0' gpu='0000:00:02.0 8086:1912'
	nic='enp0s31f6 e1000e 0000:00:1f.6 8086:15e3 17aa:310a'
	monitor='LEN 61ce LEN T24i-10'
}

model_esprimop558() {
	intel_desktop
	vendor='FUJITSU CLIENT COMPUTING LIMITED' product='ESPRIMO P558' sku='S26361-Kxxx-Vyyy' family='ESPRIMO-FTS' board=D3600-A1 board_version='S26361-D3600-A1' chassis=6
	bios_vendor='FUJITSU // American Megatrends Inc.' bios_version='V5.0.0.13 R1.22.0 for D3600-A1x' bios_date=06/15/2020
	cpu='Intel(R) Core(TM) i3-8100 CPU @ 3.60GHz' cpu_sig='6 158 11 0xf6' cpu_id=0x906eb cores=4 threads=4 mhz=3600 mhz_max=4200
	dimms=('4096 2400 Micron 4ATF51264AZ-2G6E1' '4096 2400 Micron 4ATF51264AZ-2G6E1')
	disk='sda KINGSTON_SA400S37240G S3E00100 468862128 0' sata='0000:00:17.0 8086:a352' gpu='0000:00:02.0 8086:3e91'
	nic='enp1s0 r8169 0000:01:00.0 10ec:8168 1734:1245'
	monitor='FUS 0850 B24-8 TS Pro'
}

model_optiplex790() { # too old for UEFI and for the 64-bit SMBIOS entry point
	intel_desktop
	smbios=2.6 uefi=no ddr=24 chassis=4 cpu_code=0xcd socket=CPU
	vendor='Dell Inc.' product='OptiPlex 790' version=01 board=0D28YY board_version=A01
	bios_vendor='Dell Inc.' bios_version=A22 bios_date=07/06/2018
	cpu='Intel(R) Core(TM) i5-2400 CPU @ 3.10GHz' cpu_sig='6 42 7 0x2f' cpu_id=0x206a7 cores=4 threads=4 mhz=3100 mhz_max=3800
	dimms=('2048 1333 Nanya_Technology NT2GC64B88B0NF-CG' '2048 1333 Nanya_Technology NT2GC64B88B0NF-CG')
	disk='sda WDC_WD2500AAKX-753CA1 19.01H19 488397168 1' sata='0000:00:1f.2 8086:1c02' gpu='0000:00:02.0 8086:0102'
	nic='eno1 e1000e 0000:00:19.0 8086:1502 1028:04ad'
	monitor='DEL a07a DELL P2212H'
}

model_x11ssh() { # the server
	intel_desktop
	vendor=Supermicro product='SYS-5019S-MN4' version=0123456789 family='Default string' sku='Default string' board=X11SSH-LN4F board_version=1.01 tag='Default string' chassis=17
	bios_vendor='American Megatrends Inc.' bios_version=2.7 bios_date=12/07/2021
	cpu='Intel(R) Xeon(R) CPU E3-1230 v5 @ 3.40GHz' cpu_sig='6 94 3 0xf0' cpu_id=0x506e3 cores=4 threads=8 mhz=3400 mhz_max=3800 cpu_code=0xb3
	dimms=('16384 2133 Micron 18ASF2G72AZ-2G3B1' '16384 2133 Micron 18ASF2G72AZ-2G3B1')
	disk='sda ST2000NM0008-2F3100 SN01 3907029168 1' gpu='0000:03:00.0 1a03:2000'
	nic='eno1 igb 0000:01:00.0 8086:1533 15d9:1533'
	monitor=''
	usb=('0557:2419 0100 ATEN Virtual Keyboard and Mouse')
}
