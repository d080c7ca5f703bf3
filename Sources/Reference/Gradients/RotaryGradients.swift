//  The rotary embedding backwards.
//
//      ∂v_i       =  cos ∂w_i + sin ∂w_{i+D/2}
//      ∂v_{i+D/2} =  cos ∂w_{i+D/2} - sin ∂w_i
//
//  The transpose of the rotation: the rotation by the opposite angle, times the same attention
//  scale (which the table has in it; the transpose is the inverse only where that is 1).

import DualityCore

extension RotaryTable {
    /// From the gradient of what `rotate` made to the gradient of what it was given, in place.
    ///
    /// - Parameter gradient: `[L, heads D]`, one row a position of the table.
    public func rotateBack(_ gradient: inout Tensor<Scalar>) {
        RotaryTable(cosines: cosines, sines: sines.map { -$0 }).rotate(&gradient)
    }
}
