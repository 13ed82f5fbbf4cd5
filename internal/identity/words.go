package identity

import "slices"

// Word spells one byte.
func Word(b byte) string { return wordlist[b] }

// ByteOf returns the byte that a word spells; ok is false for a word that is not
// in the list.
func ByteOf(word string) (b byte, ok bool) {
	i := slices.Index(wordlist[:], word)
	return byte(max(i, 0)), i >= 0
}

// wordlist spells one byte as one word. The order is a promise: two people
// compare words that two versions of the program printed.
var wordlist = [256]string{
	"acid", "acorn", "actor", "adobe", "agent", "album", "alder", "alley",
	"amber", "anchor", "angle", "apple", "april", "apron", "arrow", "aspen",
	"atlas", "attic", "august", "autumn", "bacon", "badge", "baker", "bamboo",
	"banjo", "barley", "basil", "basin", "beach", "beacon", "beaver", "berry",
	"birch", "bison", "blanket", "blossom", "board", "bonfire", "border", "bottle",
	"boulder", "bracket", "branch", "brass", "bread", "brick", "bridge", "bronze",
	"brook", "brush", "bucket", "buffalo", "butter", "button", "cabin", "cable",
	"cactus", "camel", "candle", "canoe", "canvas", "canyon", "carbon", "cargo",
	"carpet", "castle", "cedar", "cello", "chalk", "charcoal", "cherry", "chestnut",
	"cinema", "circus", "clay", "cliff", "clock", "clover", "coast", "cobalt",
	"coffee", "comet", "compass", "copper", "coral", "corner", "cotton", "cradle",
	"crane", "crater", "cricket", "crystal", "curtain", "daisy", "dance", "dawn",
	"delta", "desert", "diamond", "dolphin", "donkey", "dragon", "drum", "eagle",
	"easel", "echo", "elbow", "ember", "engine", "falcon", "farmer", "feather",
	"fern", "ferry", "fiddle", "finch", "flame", "flint", "flute", "forest",
	"fossil", "fox", "galaxy", "garden", "garlic", "ginger", "glacier", "glove",
	"goblet", "granite", "grape", "gravel", "guitar", "hammer", "harbour", "harvest",
	"hazel", "helmet", "heron", "hickory", "honey", "horizon", "hotel", "iceberg",
	"igloo", "indigo", "iris", "island", "ivory", "jacket", "jasmine", "jungle",
	"juniper", "kettle", "kitten", "ladder", "lagoon", "lantern", "larch", "lemon",
	"lily", "linen", "lizard", "lobster", "locket", "lumber", "magnet", "mango",
	"maple", "marble", "meadow", "melon", "meteor", "mill", "mirror", "monsoon",
	"moss", "mountain", "mustard", "nectar", "needle", "nettle", "nickel", "noodle",
	"nutmeg", "oak", "oasis", "ocean", "olive", "onion", "opal", "orbit",
	"orchid", "otter", "oxygen", "oyster", "paddle", "palace", "panda", "paper",
	"parrot", "pebble", "pelican", "pencil", "pepper", "piano", "pigeon", "pillow",
	"pilot", "planet", "plum", "pocket", "pond", "poplar", "potato", "prairie",
	"pumpkin", "puzzle", "quartz", "quilt", "rabbit", "radar", "radish", "raven",
	"reef", "ribbon", "river", "robin", "rocket", "saddle", "saffron", "salmon",
	"sandal", "satin", "scarf", "shadow", "signal", "silver", "sparrow", "spruce",
	"square", "stable", "summer", "sunset", "temple", "thistle", "thunder", "tiger",
	"timber", "tulip", "tunnel", "turnip", "valley", "velvet", "violin", "walnut",
}
