from __future__ import annotations

import torch

from pcsc_d2.layers import MessagePassing


def test_untrained_message_changes_nothing() -> None:
    target, assistant = torch.randn(2, 3, 8, 5, 7).unbind(0)
    assert torch.equal(MessagePassing(8)(target, assistant), target)


def test_message_is_two_convolutions_by_hand() -> None:
    message = MessagePassing(2, reduction=2)
    with torch.no_grad():
        message.reduce.weight.copy_(torch.tensor([1.0, -2.0]).view(1, 2, 1, 1))
        message.restore.weight.copy_(torch.tensor([3.0, 4.0]).view(2, 1, 1, 1))
    target = torch.tensor([10.0, 20.0]).view(1, 2, 1, 1)
    positive = torch.tensor([5.0, 1.0]).view(1, 2, 1, 1)
    assert message(target, positive).flatten().tolist() == [10 + 3 * 3, 20 + 4 * 3]
    negative = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1)
    assert message(target, negative).flatten().tolist() == [10, 20]


def test_gradient_reaches_the_assistant_once_trained() -> None:
    message = MessagePassing(8)
    torch.nn.init.normal_(message.restore.weight)
    assistant = torch.randn(1, 8, 4, 4, requires_grad=True)
    message(torch.zeros(1, 8, 4, 4), assistant).sum().backward()
    assert assistant.grad.abs().sum() > 0


def test_hidden_channels() -> None:
    assert MessagePassing(192, reduction=4).reduce.out_channels == 48
    assert MessagePassing(2, reduction=4).reduce.out_channels == 1
