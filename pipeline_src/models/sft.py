"""The network of student-friendly training: a teacher with student branches (SFT-KD-Recon)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline_src.models.base import CascadeNetwork
from pipeline_src.sampling.data_fidelity import DataFidelity


class SFTNetwork(nn.Module):
    """Branch i leaves the teacher after the data fidelity of cascade i and continues through the
    student's cascades i+1..c (Matcha et al., MIDL 2023, Sec. 2).

    A student cascade is the same block in every branch that uses it, so each is called once, on all
    its branches stacked along the batch. With ``branches``, only that many branches leave, after
    the first cascades. The student's first cascade is never used and keeps its initial weights.
    """

    def __init__(
        self, teacher: CascadeNetwork, student: CascadeNetwork, branches: int | None = None
    ) -> None:
        super().__init__()
        self.branches = branches or len(teacher.cascades) - 1
        self.teacher = teacher
        self.student = student

    def forward(self, zero_filled: Tensor, fidelity: DataFidelity) -> tuple[Tensor, Tensor]:
        """The teacher's and the branches' reconstructions of `(batch, 1, rows, columns)`.

        Returns:
            The teacher's `(batch, 1, rows, columns)`, and the branches' `(branches, batch, 1, rows,
                columns)`, ordered by the cascade after which they leave.
        """
        x = fidelity(self.teacher.block(0, zero_filled), zero_filled)
        branches = x[None]
        last = len(self.teacher.cascades) - 1
        for k in range(1, last + 1):
            student_out = self.student.block(k, branches.flatten(0, 1))
            branches = fidelity(student_out.unflatten(0, branches.shape[:2]), zero_filled)
            x = fidelity(self.teacher.block(k, x), zero_filled)
            if k < min(last, self.branches):
                branches = torch.cat([branches, x[None]])
        return x, branches
