"""The baseline of the SpaceNet 9 paper: two keypoint networks and one affine, to stand beside the pipeline.

    scene on one grid -> crops around tie-points -> two U-Nets -> keypoints on a grid of 100 m
    -> affine by RANSAC -> offset map

What the paper describes, and how it is read here:

- Alignment (`common`): the finer image is resampled to the coarser GSD; both get one extent, zero where an image
  ends.
- Data (`crops`): every tie-point gives two samples of 256 x 256 px. One is centred on its optical point, and the
  heatmap has its peak at the SAR point; the other is centred on the SAR point, with the peak at the optical point.
  The peak is a Gaussian of 13 px.
- Networks (`network`, `training`): ``optical_to_sar`` and ``sar_to_optical``, one for each data set. Both see both
  crops.
- Keypoints (`keypoints`): each grid point is taken for a SAR point, and ``sar_to_optical`` says where the optical
  image shows it: the optical keypoint. Then ``optical_to_sar`` looks at crops centred there and says where the SAR
  image shows that: the SAR keypoint. So each network does in prediction just what it learned.
- Map (`registration`): an affine from optical to SAR keypoints by MAGSAC, written as every other map.

Limits that follow: no mark tells a network which point is asked for, but its place in the middle of the crop, which
it must learn from the zero padding of its own layers; nothing is found beyond half a crop, 128 px of the coarser
image; and a single affine cannot follow terrain, however good the keypoints are.

A smaller setting (`settings`) makes all of it run on a CPU.
"""

UNTRAINED = "no team of the baseline is trained; train them with: python -m solution baseline train DATA_DIR"
