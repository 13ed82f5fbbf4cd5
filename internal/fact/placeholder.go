package fact

import "strings"

// Placeholder tells whether a vendor's string stands for nothing: the factory
// did not fill it in, or filled in the same everywhere. Such a value identifies
// no machine. The list grew from what inventory programs have met in the field.
func Placeholder(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.Trim(s, "0.-x_ *?:#/") == "" || strings.Trim(s, "f") == "" && len(s) >= 8 {
		return true
	}
	switch s {
	case "none", "n/a", "na", "null", "nil", "empty", "unknown", "unspecified", "undefined", "invalid", "oem", "o.e.m.",
		"other", "<out of spec>", "<bad index>", "not specified", "not present", "not available", "not applicable",
		"not defined", "not settable", "no serial number", "no asset tag", "no asset information", "no enclosure",
		"default", "default string", "default_string", "serial", "serial number", "serialnumber", "system serial number", "chassis serial number",
		"base board serial number", "mb-1234567890", "1234567890", "0123456789", "123456789", "12345678", "1234567",
		"123456789012345", "0123456789abcdef", "123456789abcdef", "asset-1234567890", "asset tag", "assettag",
		"system product name", "system manufacturer", "system version", "system name", "product name", "sku",
		"all series", "type1productconfigid", "type1family", "type2 - board serial number", "xxxxxxx",
		"empty slot", "no dimm", "no module installed", "modulemanufacturer", "tobefilledbyo.e.m.", "to be filled",
		"not provided", "n.a.", "not", "family", "chassis manufacture", "chassis manufacturer", "chassis version",
		"base board manufacturer", "base board product name", "base board version", "bsn12345678901234567",
		"ssn12345678901234567", "partnum", "sernum", "dimm", "part number", "pn", "sn", "unknow":
		return true
	}
	for _, prefix := range []string{
		"to be filled", "to be set", "tbd by", "array0", "array1", "manufacturer0", "manufacturer1", "partnum", "sernum",
		"assettagnum", "a1_", "<bad", "intel_asset", "dimm_", "serial number:", "please ", "not to be filled",
	} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// BadUUID tells whether an SMBIOS UUID is one that many machines share: unset,
// or left as the firmware's sample has it.
func BadUUID(s string) bool {
	u := strings.ToLower(strings.TrimSpace(s))
	if len(u) != 36 || Placeholder(strings.ReplaceAll(u, "-", "")) {
		return true
	}
	switch {
	case strings.HasSuffix(u, "-0006-000700080009"), // 03000200-0400-…, 00020003-0004-… and others
		strings.HasPrefix(u, "12345678-1234-"), strings.HasPrefix(u, "01234567-"),
		strings.HasPrefix(u, "00000000-0000-0000-0000-"), // a MAC at best, which is known anyway
		u == "fefefefe-fefe-fefe-fefe-fefefefefefe",
		u == "4c4c4544-0000-2010-8020-80c04f202020", // a Dell without a service tag
		u == "00112233-4455-6677-8899-aabbccddeeff":
		return true
	}
	return false
}
