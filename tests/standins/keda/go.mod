// Pins KEDA, whose CustomResourceDefinitions the tests take from its module; nothing of it is built.
module resilience.dev/tests/keda

go 1.24

require github.com/kedacore/keda/v2 v2.21.0
