"""DCN v2 against its equation, written out with loops."""

import torch

from homefeed.models.dcn import CrossLayer, DeepCross


def test_a_cross_layer_multiplies_the_input_with_a_full_rank_map_of_the_last_output():
    torch.manual_seed(0)
    layer = CrossLayer(3)
    x0, x = torch.randn(2, 3), torch.randn(2, 3)
    weight, bias = layer.linear.weight, layer.linear.bias
    expected = torch.zeros(2, 3)
    for row in range(2):
        for i in range(3):
            inner = bias[i] + sum(weight[i, j] * x[row, j] for j in range(3))
            expected[row, i] = x0[row, i] * inner + x[row, i]
    torch.testing.assert_close(layer(x0, x), expected)


def test_the_stack_crosses_with_the_first_input_and_ends_in_the_mlp():
    torch.manual_seed(0)
    network = DeepCross(4, 2, (5,), dropout=0.5).eval()
    x0 = torch.randn(3, 4)
    x1 = x0 * network.cross[0].linear(x0) + x0
    x2 = x0 * network.cross[1].linear(x1) + x1
    torch.testing.assert_close(network(x0), network.mlp[0](x2).relu())
    assert network.outputs == 5


def test_without_hidden_layers_the_crossed_features_come_out():
    network = DeepCross(4, 1, (), dropout=0.0)
    assert network.outputs == 4
    assert network(torch.zeros(2, 4)).shape == (2, 4)
